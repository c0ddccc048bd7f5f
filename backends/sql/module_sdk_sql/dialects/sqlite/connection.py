"""A connection to SQLite whose calls end by their deadlines."""

from __future__ import annotations

import contextlib
import itertools
import math
import operator
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from module_sdk.backends import TaskBackendError, TaskBackendUnavailableError
from module_sdk_sql.dialects.base import Connection, StoredTuple, plan_lines

# How often a running statement checks its deadline. These instructions take less than a millisecond.
INSTRUCTIONS_PER_CHECK: Final = 5_000
UNDECODABLE: Final = "Could not decode to UTF-8"
# SQLite polls a lock ever more rarely, finally every 100 ms. While others write without a pause it hardly ever finds
# the lock free, so waiting writers starved for seconds. So its own wait must end after this time, and `run` retries.
LOCK_WAIT_SECONDS: Final = 0.005

# After one of these errors a connection may be one to a file that is no longer the right one.
UNUSABLE_CODES: Final = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
)


class SQLiteConnection(Connection):
    """A connection that neither waits for locks nor runs a statement beyond the deadline of its call."""

    def __init__(self, location: str, path: Path | None, *, reusable: bool = True) -> None:
        self.raw = sqlite3.connect(
            location,
            uri=location.startswith("file:"),
            isolation_level=None,
            check_same_thread=False,
            timeout=LOCK_WAIT_SECONDS,
        )
        self.reusable = reusable
        # A `str`, because each call passes it to `os.stat`, which is slower for a `Path`.
        self.path = None if path is None else str(path)
        self.identity = file_identity(self.path)
        self.deadline = [math.inf]
        # This callback must not run Python code: the driver drops any exception that is raised inside it, and a signal
        # handler could raise there. Iterators of C avoid that.
        now, deadline = iter(time.monotonic, None), map(self.deadline.__getitem__, itertools.repeat(0))
        self.is_late = map(operator.ge, now, deadline).__next__
        self.raw.set_progress_handler(self.is_late, INSTRUCTIONS_PER_CHECK)

    def run(self, sql: str, arguments: Sequence[Any], deadline: float) -> sqlite3.Cursor:
        """Execute a statement; retry it until the deadline if the file is locked, since SQLite keeps nothing then."""
        self.deadline[0] = deadline
        while True:
            if time.monotonic() >= deadline:
                raise TaskBackendUnavailableError("no time was left for the statement")
            try:
                return self.raw.execute(sql, arguments)
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise

    def is_current(self) -> bool:
        # A write to a file that was moved or replaced would be acknowledged and never seen again. An empty file has no
        # identity, so a connection that was opened on one serves one call.
        if self.path is None:
            return True
        return self.reusable and self.identity is not None and file_identity(self.path) == self.identity

    def fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        try:
            return self.run(sql, arguments, deadline).fetchall()
        except sqlite3.OperationalError as error:
            if not str(error).startswith(UNDECODABLE) or self.raw.in_transaction:
                raise
            return self.fetch_decodable(sql, arguments)

    def fetch_decodable(self, sql: str, arguments: Sequence[Any]) -> Sequence[StoredTuple | None]:
        """Return all rows, with `None` for each that is not UTF-8; the driver would fail for the whole result."""
        self.raw.text_factory = bytes
        try:
            return [decoded(row) for row in self.raw.execute(sql, arguments).fetchall()]
        finally:
            self.raw.text_factory = str

    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        return self.run(sql, arguments, deadline).rowcount

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        # No retry: the caller's transaction has the lock already.
        self.deadline[0] = deadline
        self.raw.executemany(sql, rows)

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """Return the plan, and the examined entries as estimated from the instructions that SQLite counts.

        The number of instructions is divided by the length of the shortest loop over an index or a table, which runs
        once per entry. The work of a sort counts too.
        """
        plan = "\n".join(plan_lines(self.fetch(f"EXPLAIN QUERY PLAN {sql}", arguments, deadline), 3))
        program = [row for row in self.fetch(f"EXPLAIN {sql}", arguments, deadline) if row is not None]
        stored = {cursor for _, operation, cursor, *_ in program if operation == "OpenRead"}
        loops = [
            address - start + 1
            for address, operation, cursor, start, *_ in program
            if operation in ("Next", "Prev") and cursor in stored
        ]
        return plan, self.count_instructions(sql, arguments, deadline) // min(loops, default=1)

    def count_instructions(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """Run the statement and return the number of instructions that SQLite's virtual machine executed for it."""
        count = 0

        def step() -> bool:
            nonlocal count
            count += 1
            return False

        self.raw.set_progress_handler(step, 1)
        try:
            self.run(sql, arguments, deadline).fetchall()
        finally:
            self.raw.set_progress_handler(self.is_late, INSTRUCTIONS_PER_CHECK)
        return count

    def recover(self, error: BaseException | None) -> bool:
        self.deadline[0] = math.inf
        with contextlib.suppress(sqlite3.Error):
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
        if self.path is None:
            return True
        return (
            self.reusable
            and isinstance(error, sqlite3.Error | TaskBackendError)
            and not self.raw.in_transaction
            and primary_code(error) not in UNUSABLE_CODES
        )

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.raw.close()


def primary_code(error: BaseException) -> int:
    """Return SQLite's primary result code, or -1 for an error that is not SQLite's."""
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    return -1 if extended is None else extended & 0xFF


def decoded(row: tuple[Any, ...]) -> StoredTuple | None:
    try:
        return tuple(value.decode() if isinstance(value, bytes) else value for value in row)
    except UnicodeDecodeError:
        return None


def file_identity(path: str | None) -> tuple[int, int] | None:
    """Return the device and inode of the file at a path; `None` if there is no file or an empty one."""
    if path is None:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116  # runs per call, and is twice as fast
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_size else None
