"""One connection to a DuckDB file: who may use it, until when, and what a transaction is."""

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

BUSY = (duckdb.ConstraintException, duckdb.TransactionException)
"""Another manager of this process was faster. DuckDB tells it when writing, or as late as on commit."""

# DuckDB says only in words why a file cannot be opened. These are for the operator to mend; a lock passes.
NO_PLACE: Final = re.compile(
    "not a valid DuckDB database file|Is a directory|Too many levels of symbolic links|Permission denied|No such file"
)


class Database:
    """A connection serves one thread at a time. DuckDB locks the file, so that it serves one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: duckdb.DuckDBPyConnection | None = None
        self.lock = threading.Lock()

    def open(self, deadline: float) -> None:
        """Connect, creating the file; connected already, do nothing."""
        with self.taken(deadline):
            if self.connection is None:
                self.connection = connect(self.path)

    def close(self) -> None:
        with self.lock:
            if self.connection is not None:
                self.connection.close()
                self.connection = None

    def forget(self) -> None:
        """In a forked child: let go of what is the parent's, without closing it, ever.

        Closing writes the log into the file, under the feet of the parent; so does freeing it when Python ends.
        """
        self.lock = threading.Lock()
        if self.connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))
            self.connection = None

    @contextlib.contextmanager
    def taken(self, deadline: float) -> Iterator[None]:
        """Hold the connection. Raises `TaskBackendUnavailableError` if it is not free by the deadline."""
        if not self.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TaskBackendUnavailableError("the connection was busy until the deadline")
        try:
            yield
        finally:
            self.lock.release()

    def fetch(self, sql: str, values: Sequence[object], deadline: float) -> Rows:
        """The rows of one statement, which is a transaction by itself."""
        return self.use(lambda connection: connection.execute(sql, values).fetchall(), deadline)

    def transact(self, work: Callable[[Run], Answer], deadline: float) -> Answer:
        """What `work(run)` returns, all of whose statements are one transaction."""

        def in_transaction(connection: duckdb.DuckDBPyConnection) -> Answer:
            connection.begin()
            try:
                answer = work(lambda sql, values: connection.execute(sql, values).fetchall())
                connection.commit()
            except BaseException:
                # A commit that failed has rolled back already.
                with contextlib.suppress(duckdb.TransactionException):
                    connection.rollback()
                raise
            return answer

        return self.use(in_transaction, deadline)

    def use(self, work: Callable[[duckdb.DuckDBPyConnection], Answer], deadline: float) -> Answer:
        """What `work(connection)` returns; all over again while another manager is faster."""
        while True:
            with self.taken(deadline):
                if self.connection is None:
                    raise TaskBackendError("the connection is closed")
                try:
                    return work(self.connection)
                except BUSY:
                    if time.monotonic() >= deadline:
                        raise


Run = Callable[[str, Sequence[object]], Rows]
"""Runs a statement with its values; its rows."""


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Connections of one process share one instance of DuckDB if their settings are the same.

    The number of the process is one of them: so a forked child, where that instance would write to the file that its
    parent writes to, is refused it. One thread, since tasks are looked up and not analysed.
    """
    try:
        return duckdb.connect(path, config={"threads": 1, "custom_user_agent": f"module-sdk of process {os.getpid()}"})
    except duckdb.ConnectionException as error:
        message = "the file was open when this process was forked: it belongs to the parent"
        raise TaskBackendUnavailableError(message) from error
    except duckdb.IOException as error:
        if NO_PLACE.search(str(error)):
            raise ConfigurationError(f"no store can be at {path}: {error}") from error
        raise
