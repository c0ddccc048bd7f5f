"""One connection to SQLite, bounded by the deadline of the call it serves."""

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

# How often a running statement looks at its deadline: some thousand instructions are below a millisecond.
INSTRUCTIONS_BETWEEN_LOOKS: Final = 5_000
UNDECODABLE: Final = "Could not decode to UTF-8"
# SQLite's own wait looks at a lock ever more seldom, every 100 ms in the end, and so finds it free hardly ever while
# others write all the time: waiting writers starved for seconds. So it waits this long, and is asked again.
LOCK_WAIT_SECONDS: Final = 0.005

# A connection that met one of these may hold a file that is no longer the right one.
SPENT_CODES: Final = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
)


class SQLiteConnection(Connection):
    """A connection that waits for locks, and runs, no longer than the deadline of the call it serves."""

    def __init__(self, location: str, path: Path | None, *, reusable: bool = True) -> None:
        self.connection = sqlite3.connect(
            location,
            uri=location.startswith("file:"),
            isolation_level=None,
            check_same_thread=False,
            timeout=LOCK_WAIT_SECONDS,
        )
        self.reusable = reusable
        # As text, which the system takes without a detour through pathlib.
        self.path = None if path is None else str(path)
        self.place = file_identity(self.path)
        self.deadline = [math.inf]
        # In C throughout: what a signal's handler raises while Python code runs inside SQLite is dropped by the driver.
        now, deadline = iter(time.monotonic, None), map(self.deadline.__getitem__, itertools.repeat(0))
        self.is_late = map(operator.ge, now, deadline).__next__
        self.connection.set_progress_handler(self.is_late, INSTRUCTIONS_BETWEEN_LOOKS)

    def run(self, sql: str, arguments: Sequence[Any], deadline: float) -> sqlite3.Cursor:
        """Execute a statement, which may wait for a lock until the deadline; SQLite kept nothing of one that waits."""
        self.deadline[0] = deadline
        while True:
            if time.monotonic() >= deadline:
                raise TaskBackendUnavailableError("no time was left for the statement")
            try:
                return self.connection.execute(sql, arguments)
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise

    def is_current(self) -> bool:
        # What is written to a file that was moved or replaced would be acknowledged, and never seen again.
        # An empty file has no identity, so a connection that was opened on one serves one call.
        if self.path is None:
            return True
        return self.reusable and self.place is not None and file_identity(self.path) == self.place

    def fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        try:
            return self.run(sql, arguments, deadline).fetchall()
        except sqlite3.OperationalError as error:
            if not str(error).startswith(UNDECODABLE) or self.connection.in_transaction:
                raise
            return self.fetch_decodable(sql, arguments)

    def fetch_decodable(self, sql: str, arguments: Sequence[Any]) -> Sequence[StoredTuple | None]:
        """The driver gives up the whole answer at one text that is no UTF-8; this gives up that row only."""
        self.connection.text_factory = bytes
        try:
            return [decoded(row) for row in self.connection.execute(sql, arguments).fetchall()]
        finally:
            self.connection.text_factory = str

    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        return self.run(sql, arguments, deadline).rowcount

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        # Within a transaction, which has the lock already.
        self.deadline[0] = deadline
        self.connection.executemany(sql, rows)

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """SQLite counts instructions, not rows: they are divided by the shortest loop over an index or a table.

        An entry that is examined runs through such a loop once; what a sort does with it again is counted too.
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
        """How many instructions of SQLite's virtual machine the statement takes."""
        count = 0

        def step() -> bool:
            nonlocal count
            count += 1
            return False

        self.connection.set_progress_handler(step, 1)
        try:
            self.run(sql, arguments, deadline).fetchall()
        finally:
            self.connection.set_progress_handler(self.is_late, INSTRUCTIONS_BETWEEN_LOOKS)
        return count

    def recover(self, error: BaseException | None) -> bool:
        self.deadline[0] = math.inf
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        if self.path is None:
            return True
        return (
            self.reusable
            and isinstance(error, sqlite3.Error | TaskBackendError)
            and not self.connection.in_transaction
            and primary_code(error) not in SPENT_CODES
        )

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()


def primary_code(error: BaseException) -> int:
    """SQLite's primary result code, or -1 for an error that is not SQLite's."""
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    return -1 if extended is None else extended & 0xFF


def decoded(row: tuple[Any, ...]) -> StoredTuple | None:
    try:
        return tuple(value.decode() if isinstance(value, bytes) else value for value in row)
    except UnicodeDecodeError:
        return None


def file_identity(path: str | None) -> tuple[int, int] | None:
    """Shows whether a path still leads to the same file; `None` where there is no file, or an empty one."""
    if path is None:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116  # for each call, and twice as fast
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_size else None
