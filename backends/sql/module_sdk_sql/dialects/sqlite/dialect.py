"""SQLite: one file, or memory. WAL, synchronous FULL, STRICT tables (https://www.sqlite.org/wal.html)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import INTEGER, REAL, TEXT
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from module_sdk.backends import (
    Capabilities,
    ConfigurationError,
    Diagnosis,
    TaskBackendError,
)
from module_sdk_sql.dialects.base import Connection, Dialect
from module_sdk_sql.dialects.sqlite import file
from module_sdk_sql.dialects.sqlite.connection import SQLiteConnection, primary_code
from module_sdk_sql.options import SQLiteOptions
from module_sdk_sql.schema import ColumnTypes

# Python's lock passes from thread to thread at each row, so that more calls at once only get in each other's way: of 32
# threads that look tasks up, these do at least a third more than 16 would, and a long read still leaves others room.
MAXIMUM_CONNECTIONS: Final = 3
OLDEST_SQLITE: Final = (3, 37, 0)  # the first with STRICT; RETURNING came with 3.35

BUSY_CODES: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CANTOPEN)
# Primary codes met where neither the file nor its companions -wal and -shm can be written.
UNWRITABLE_CODES: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
ALREADY_DONE: Final = re.compile("already exists|duplicate column name")
# What reading a file that has been emptied under a connection may come to.
EMPTIED_CODES: Final = (*UNWRITABLE_CODES, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
SETUP_FAULTS: Final = {
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or created",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
}


class SQLiteDialect(Dialect):
    """`path` is absolute, so that a later change of the working folder changes nothing; `None` is memory."""

    separate_payload_table = True
    # A transaction that begins as a reader and writes later fails at once when another has written meanwhile.
    begin = "BEGIN IMMEDIATE"
    latest = "max"
    types = ColumnTypes(
        key_text=lambda maximum: TEXT(),
        long_text=TEXT(),
        integer=INTEGER(),
        real=REAL(),
        table_options={"sqlite_strict": True},
    )

    def __init__(self, options: SQLiteOptions, connections: int) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} is too old: at least {oldest} is needed")
        self.options = options
        self.path = options.path
        self.compiler = SQLiteDialect_pysqlite(paramstyle="qmark")
        # A database in memory lives as long as its one connection.
        self.connections = 1 if self.path is None else min(connections, MAXIMUM_CONNECTIONS)
        self.at_fork = "keep" if self.path is None else "close"
        on_disk = self.path is not None
        # The file has one lock for them all, and SQLite can only look at it again and again.
        self.groups_writes = on_disk
        self.capabilities = Capabilities(shared=on_disk, durable=on_disk, explain=True, bounded=True)
        self.memory_was_opened = False

    def index_hint(self, index: str) -> str:
        return f" INDEXED BY {index}"

    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        # One parameter for any number of values: SQLite takes 32,766 parameters at most.
        condition = f"{column} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608  # names of ours only
        return condition, {name: json.dumps(list(values))}

    def has_table(self) -> str:
        return "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"

    # --- Connections ------------------------------------------------------------------------------------------------

    def check_place(self, create: bool) -> bool:
        if self.path is None:
            return True
        if self.path.is_dir():
            raise ConfigurationError(f"{self.path} is a folder, not a database file")
        if create and not self.path.exists():
            if not self.path.parent.is_dir():
                raise ConfigurationError(f"the folder {self.path.parent} does not exist: create it first")
            file.create(self.path, private=self.options.private)
        if self.options.private:
            file.close_to_others(self.path)
        return create or not is_absent(self.path)

    def connect(self, deadline: float) -> Connection:
        if self.path is None:
            if self.memory_was_opened:
                raise TaskBackendError("the database in memory was lost with its connection")
            self.memory_was_opened = True
            return self.prepare(SQLiteConnection(":memory:", None), deadline)
        location = f"file:{quote(os.fsencode(self.path))}"
        try:
            return self.prepare(SQLiteConnection(f"{location}?mode=rw", self.path), deadline)
        except sqlite3.DatabaseError as error:
            if primary_code(error) not in UNWRITABLE_CODES or not self.is_settled():
                raise
            # Without its companions the file can be read only as one that nobody changes; so this connection serves
            # one call, and the next looks again.
            return self.prepare(
                SQLiteConnection(f"{location}?mode=ro&immutable=1", self.path, reusable=False), deadline
            )

    def is_settled(self) -> bool:
        """Whether everything lies in the file itself: no writer has it open, none died and left a log behind."""
        path = str(self.path)
        try:
            return Path(path).stat().st_size > 0 and not Path(f"{path}-wal").stat().st_size
        except FileNotFoundError:
            return Path(path).exists()
        except OSError:
            return False

    def prepare(self, link: SQLiteConnection, deadline: float) -> SQLiteConnection:
        try:
            link.execute(f"PRAGMA synchronous={self.options.synchronous}", (), deadline)
            # An empty file stays as it is, until `setup` makes a database of it.
            if link.reusable and link.place is not None:
                switch_to_wal(link, deadline)
            encoding = pragma(link, "encoding", deadline)
            if encoding != "UTF-8":
                raise ConfigurationError(
                    f"{self.path} is encoded in {encoding}, whose order of text is another: use a UTF-8 database"
                )
        except BaseException:
            link.close()
            raise
        return link

    @contextlib.contextmanager
    def setup_transaction(self, link: Connection, namespace: str, deadline: float) -> Iterator[None]:
        if self.path is not None:
            switch_to_wal(link, deadline)
        link.execute(self.begin, (), deadline)
        yield
        link.execute("COMMIT", (), deadline)

    # --- Errors -----------------------------------------------------------------------------------------------------

    def is_unavailable(self, error: BaseException) -> bool:
        return primary_code(error) in BUSY_CODES

    def is_duplicate(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.IntegrityError)

    def is_already_done(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.OperationalError) and bool(ALREADY_DONE.search(str(error)))

    def is_missing_schema(self, error: BaseException) -> bool:
        if primary_code(error) in EMPTIED_CODES:
            return self.path is not None and is_absent(self.path)
        return str(error).startswith("no such table") and isinstance(error, sqlite3.OperationalError)

    def configuration_fault(self, error: BaseException) -> str | None:
        return SETUP_FAULTS.get(primary_code(error))

    # --- Insight ----------------------------------------------------------------------------------------------------

    def is_durable(self, link: Connection, deadline: float) -> bool:
        return self.path is not None

    def diagnose(self, link: Connection, deadline: float) -> Diagnosis:
        journal = str(pragma(link, "journal_mode", deadline))
        synchronous = ("off", "normal", "full", "extra")[pragma(link, "synchronous", deadline)]
        facts = {
            "server": f"SQLite {sqlite3.sqlite_version}",
            "driver": "sqlite3 of Python's standard library",
            "file": str(self.path or "in memory"),
            "size": f"{pragma(link, 'page_count', deadline) * pragma(link, 'page_size', deadline):,} bytes",
            "journal mode": journal,
            "synchronous": synchronous,
            "encoding": str(pragma(link, "encoding", deadline)),
        }
        warnings = []
        if self.path is None:
            warnings.append("the database lies in memory: it ends with this process")
        elif journal != "wal":
            warnings.append(f"the journal mode is {journal}, not wal: readers and writers wait for each other")
        if self.path is not None and synchronous in ("off", "normal"):
            warnings.append(f"synchronous is {synchronous}: a power failure can lose tasks that were acknowledged")
        if not link.reusable:
            warnings.append("the file can only be read here: every write will fail")
        return Diagnosis(facts, warnings)


def is_absent(path: Path) -> bool:
    """Whether there is no file, or an empty one: not where that cannot be seen."""
    try:
        return not path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def switch_to_wal(link: Connection, deadline: float) -> None:
    """Bring the file into WAL mode, which stays; where it cannot be (a read-only file), leave it as it is.

    While another connection switches, SQLite refuses at once instead of waiting, so this tries again.
    """
    while pragma(link, "journal_mode", deadline) != "wal":
        try:
            pragma(link, "journal_mode=WAL", deadline)
        except sqlite3.OperationalError as error:
            if primary_code(error) == sqlite3.SQLITE_READONLY:
                return
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.005)
        else:
            # SQLite answers with the mode that it stays in where the file system cannot share memory.
            return


def pragma(link: Connection, name: str, deadline: float) -> Any:
    """The answer of a PRAGMA of one row and column."""
    return next(row[0] for row in link.fetch(f"PRAGMA {name}", (), deadline) if row)
