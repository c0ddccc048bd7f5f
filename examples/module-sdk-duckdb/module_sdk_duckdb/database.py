"""One connection to a DuckDB file: exclusive use with deadlines, and transactions."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb

from module_sdk.backends import ConfigurationError, TaskBackendError, TaskBackendUnavailableError

Answer = TypeVar("Answer")
Rows = list[tuple[Any, ...]]

CONFLICTS = (duckdb.ConstraintException, duckdb.TransactionException)
"""The exceptions that a write or a commit raises if another manager of this process was faster."""

# DuckDB says only in its message why a file cannot be opened. These are setup faults, while a lock is temporary.
SETUP_FAULTS: Final = re.compile(
    "not a valid DuckDB database file|Is a directory|Too many levels of symbolic links|Permission denied|No such file"
)


class Database:
    """A connection that one thread at a time may use. DuckDB locks the file for this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: duckdb.DuckDBPyConnection | None = None
        self.lock = threading.Lock()

    def open(self, deadline: float) -> None:
        """Connect and create the file, unless connected already."""
        with self.exclusive(deadline):
            if self.connection is None:
                self.connection = connect(self.path)

    def close(self) -> None:
        with self.lock:
            if self.connection is not None:
                self.connection.close()
                self.connection = None

    def forget(self) -> None:
        """Drop the parent's connection in a forked child, without ever closing it.

        Closing it, or freeing it when Python exits, would write the log into the file while the parent uses it.
        """
        self.lock = threading.Lock()
        if self.connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))
            self.connection = None

    @contextlib.contextmanager
    def exclusive(self, deadline: float) -> Iterator[None]:
        """Reserve the connection. Raise `TaskBackendUnavailableError` if it is not free by the deadline."""
        if not self.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TaskBackendUnavailableError("the connection was busy until the deadline")
        try:
            yield
        finally:
            self.lock.release()

    def fetch(self, sql: str, values: Sequence[object], deadline: float) -> Rows:
        """Return the rows of one statement, which is a transaction by itself."""
        return self.use(lambda connection: connection.execute(sql, values).fetchall(), deadline)

    def transact(self, work: Callable[[Run], Answer], deadline: float) -> Answer:
        """Return `work(run)`, with all its statements in one transaction."""

        def in_transaction(connection: duckdb.DuckDBPyConnection) -> Answer:
            connection.begin()
            try:
                answer = work(lambda sql, values: connection.execute(sql, values).fetchall())
                connection.commit()
            except BaseException:
                # A failed commit has already rolled back.
                with contextlib.suppress(duckdb.TransactionException):
                    connection.rollback()
                raise
            return answer

        return self.use(in_transaction, deadline)

    def use(self, work: Callable[[duckdb.DuckDBPyConnection], Answer], deadline: float) -> Answer:
        """Return `work(connection)`. Repeat it after a conflict with another manager, until the deadline."""
        while True:
            with self.exclusive(deadline):
                if self.connection is None:
                    raise TaskBackendError("the connection is closed")
                try:
                    return work(self.connection)
                except CONFLICTS:
                    if time.monotonic() >= deadline:
                        raise


Run = Callable[[str, Sequence[object]], Rows]
"""Runs a statement with its values and returns its rows."""


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a connection. Raise `ConfigurationError` for a setup fault.

    Connections of a process share one instance of DuckDB, and must have the same settings. In a forked child that
    instance would write to the file of the parent, so the process id is one of the settings and makes DuckDB refuse the
    child. One thread is enough, since tasks are looked up and not analysed.
    """
    try:
        return duckdb.connect(path, config={"threads": 1, "custom_user_agent": f"module-sdk of process {os.getpid()}"})
    except duckdb.ConnectionException as error:
        message = "the file was open when this process was forked: it belongs to the parent"
        raise TaskBackendUnavailableError(message) from error
    except duckdb.IOException as error:
        if SETUP_FAULTS.search(str(error)):
            raise ConfigurationError(f"no store can be at {path}: {error}") from error
        raise
