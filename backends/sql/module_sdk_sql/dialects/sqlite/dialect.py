"""SQLite in a file (WAL mode, synchronous FULL, STRICT tables: https://www.sqlite.org/wal.html) or in memory."""

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

# Python's global lock changes hands at each row, so concurrent calls slow each other down. With 32 threads that look
# tasks up, 3 connections serve at least a third more lookups than 16, and one long read still leaves two to others.
MAXIMUM_CONNECTIONS: Final = 3
OLDEST_SQLITE: Final = (3, 37, 0)  # the first with STRICT; RETURNING came with 3.35

BUSY_CODES: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CANTOPEN)
# The primary codes of a file that cannot be written, or whose companions -wal and -shm cannot.
UNWRITABLE_CODES: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
ALREADY_DONE: Final = re.compile("already exists|duplicate column name")
# The errors that reading may raise after the file was emptied under an open connection.
EMPTIED_CODES: Final = (*UNWRITABLE_CODES, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
SETUP_FAULTS: Final = {
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or created",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
}


class SQLiteDialect(Dialect):
    """One SQLite database. `path` is absolute, so a change of the working folder has no effect; `None` is memory."""

    separate_payload_table = True
    # A transaction that begins as a reader and then writes fails at once if another has written in between.
    begin = "BEGIN IMMEDIATE"
    greatest = "max"
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
        # The file has one lock for all writers, and SQLite can wait for it only by polling.
        self.groups_writes = on_disk
        self.capabilities = Capabilities(shared=on_disk, durable=on_disk, explain=True, bounded=True)
        self.memory_was_opened = False

    def index_hint(self, index: str) -> str:
        return f" INDEXED BY {index}"

    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        # One parameter for all values, because SQLite accepts at most 32,766 parameters.
        condition = f"{column} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608  # names of ours only
        return condition, {name: json.dumps(list(values))}

    def has_table(self) -> str:
        return "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"

    # --- Connections ------------------------------------------------------------------------------------------------

    def prepare_location(self, create: bool) -> bool:
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
            # Without its companions the file can be read only as immutable. It may still be changed, so this
            # connection serves one call and the next call checks again.
            return self.prepare(
                SQLiteConnection(f"{location}?mode=ro&immutable=1", self.path, reusable=False), deadline
            )

    def is_settled(self) -> bool:
        """Return whether the file itself contains everything: no writer has it open or died and left a log."""
        path = str(self.path)
        try:
            return Path(path).stat().st_size > 0 and not Path(f"{path}-wal").stat().st_size
        except FileNotFoundError:
            return Path(path).exists()
        except OSError:
            return False

    def prepare(self, connection: SQLiteConnection, deadline: float) -> SQLiteConnection:
        try:
            connection.execute(f"PRAGMA synchronous={self.options.synchronous}", (), deadline)
            # An empty file must stay empty until `setup` makes it a database.
            if connection.reusable and connection.identity is not None:
                switch_to_wal(connection, deadline)
            encoding = pragma(connection, "encoding", deadline)
            if encoding != "UTF-8":
                raise ConfigurationError(
                    f"{self.path} is encoded in {encoding}, which sorts text differently: use a UTF-8 database"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def setup_transaction(self, connection: Connection, namespace: str, deadline: float) -> Iterator[None]:
        if self.path is not None:
            switch_to_wal(connection, deadline)
        connection.execute(self.begin, (), deadline)
        yield
        connection.execute("COMMIT", (), deadline)

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

    def setup_fault(self, error: BaseException) -> str | None:
        return SETUP_FAULTS.get(primary_code(error))

    # --- Insight ----------------------------------------------------------------------------------------------------

    def is_durable(self, connection: Connection, deadline: float) -> bool:
        return self.path is not None

    def diagnose(self, connection: Connection, deadline: float) -> Diagnosis:
        journal = str(pragma(connection, "journal_mode", deadline))
        synchronous = ("off", "normal", "full", "extra")[pragma(connection, "synchronous", deadline)]
        facts = {
            "server": f"SQLite {sqlite3.sqlite_version}",
            "driver": "sqlite3 of Python's standard library",
            "file": str(self.path or "in memory"),
            "size": f"{pragma(connection, 'page_count', deadline) * pragma(connection, 'page_size', deadline):,} bytes",
            "journal mode": journal,
            "synchronous": synchronous,
            "encoding": str(pragma(connection, "encoding", deadline)),
        }
        warnings = []
        if self.path is None:
            warnings.append("the database is in memory: it ends with this process")
        elif journal != "wal":
            warnings.append(f"the journal mode is {journal}, not wal: readers and writers wait for each other")
        if self.path is not None and synchronous in ("off", "normal"):
            warnings.append(f"synchronous is {synchronous}: a power failure can lose tasks that were acknowledged")
        if not connection.reusable:
            warnings.append("the file can only be read here: every write will fail")
        return Diagnosis(facts, warnings)


def is_absent(path: Path) -> bool:
    """Return whether there is no file or an empty one; false if this cannot be determined."""
    try:
        return not path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def switch_to_wal(connection: Connection, deadline: float) -> None:
    """Switch the file to WAL mode, which is permanent; leave a read-only file as it is.

    While another connection switches, SQLite refuses at once instead of waiting, so this retries.
    """
    while pragma(connection, "journal_mode", deadline) != "wal":
        try:
            pragma(connection, "journal_mode=WAL", deadline)
        except sqlite3.OperationalError as error:
            if primary_code(error) == sqlite3.SQLITE_READONLY:
                return
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.005)
        else:
            # On a file system without shared memory SQLite raises no error, and keeps the mode that it had.
            return


def pragma(connection: Connection, name: str, deadline: float) -> Any:
    """Return the value of a PRAGMA of one row and column."""
    return next(row[0] for row in connection.fetch(f"PRAGMA {name}", (), deadline) if row)
