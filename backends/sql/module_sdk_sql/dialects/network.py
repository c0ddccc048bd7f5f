"""What the databases behind a network have in common."""

from __future__ import annotations

import abc
import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from module_sdk.backends import (
    NEVER,
    Capabilities,
    ConfigurationError,
    Connector,
    TaskBackendError,
    TaskBackendUnavailableError,
    watchdog,
)
from module_sdk_sql.dialects.base import Connection, Dialect, StoredTuple

Result = TypeVar("Result")

# An idle connection older than this is replaced: a firewall may have dropped it without a word.
MAXIMUM_IDLE_SECONDS: Final = 60.0
# One that answered so lately is not looked at: that lets another thread run, which takes its time.
FRESH_SECONDS: Final = 0.1
ROLLBACK_SECONDS: Final = 1.0
READ_BYTES: Final = 65_536
# How long a write whose caller was interrupted is waited for. After that it has its locks or waits for them in the
# server's queue, so that no later write of the same row can pass it.
LAST_WRITE_SECONDS: Final = 1.0
# The words of OpenSSL, which reach us through every driver.
UNTRUSTED: Final = ("certificate verify failed", "self-signed certificate", "unable to get local issuer certificate")


class NetworkConnection(Connection):
    """A connection whose calls are ended at their deadline by the watchdog."""

    is_writing = False
    """Whether the answer to a write has not come yet."""

    def __init__(self, connection: Any, descriptor: int) -> None:
        self.connection = connection
        self.descriptor = descriptor
        self.process = os.getpid()
        self.watch = watchdog.watch(descriptor)
        self.last_used = self.checked_at = time.monotonic()
        self.poller = select.poll()
        self.poller.register(descriptor, select.POLLIN)

    def is_current(self) -> bool:
        idle_seconds = time.monotonic() - self.last_used
        if idle_seconds < FRESH_SECONDS:
            return True
        # Nothing is expected on an idle connection: what can be read there is the server's farewell.
        return idle_seconds < MAXIMUM_IDLE_SECONDS and not self.poller.poll(0)

    def bounded(self, deadline: float, call: Callable[..., Result], *arguments: Any) -> Result:
        """The result of a call of the driver, which ends by the deadline."""
        now = self.last_used = time.monotonic()
        if now >= deadline:
            raise TaskBackendUnavailableError("no time was left for the statement")
        watch = self.watch
        watchdog.begin(watch, deadline)
        try:
            return call(*arguments)
        except Exception as error:
            if watch.was_shut:
                raise TaskBackendUnavailableError("the server did not answer in time") from error
            raise
        finally:
            watch.deadline = NEVER
            with watch.lock:  # the watchdog may be shutting the socket at this moment
                pass

    def fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        return self.bounded(deadline, self.run_fetch, sql, arguments, deadline)

    def fetch_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        return self.bounded_write(deadline, self.run_changed, sql, arguments, deadline)

    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        return self.bounded_write(deadline, self.run_execute, sql, arguments, deadline)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        self.bounded_write(deadline, self.run_many, sql, rows)

    def bounded_write(self, deadline: float, call: Callable[..., Result], *arguments: Any) -> Result:
        """`bounded`, of a call that changes the store."""
        self.is_writing = True
        result = self.bounded(deadline, call, *arguments)
        self.is_writing = False
        return result

    @abc.abstractmethod
    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """`fetch`, without the watchdog."""

    def run_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """`fetch_changed`, without the watchdog."""
        return self.run_fetch(sql, arguments, deadline)

    @abc.abstractmethod
    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """`execute`, without the watchdog."""

    @abc.abstractmethod
    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """`execute_many`, without the watchdog."""

    errors: tuple[type[Exception], ...]
    """What the driver raises when an answer has come, or none will."""

    @abc.abstractmethod
    def is_broken(self) -> bool:
        """Whether the driver knows that the connection is of no more use."""

    def recover(self, error: BaseException | None) -> bool:
        # After anything but an error of the driver (an interrupt, which may be of any class) an answer may still be on
        # its way, and would be taken for the next one.
        if not isinstance(error, (*self.errors, TaskBackendError)):
            self.outlast_write()
            return False
        self.is_writing = False
        if self.watch.was_shut or self.is_broken():
            return False
        try:
            self.execute("ROLLBACK", (), time.monotonic() + ROLLBACK_SECONDS)
        except Exception:  # whatever the driver says, the connection is given up
            return False
        return not self.watch.was_shut

    def outlast_write(self) -> None:
        """Wait until the server has ended an interrupted write: a later write on another connection may be faster.

        The connection is of no use afterwards. A server that has ended what it was sent closes it.
        """
        if not self.is_writing or self.watch.was_shut:
            return
        deadline = time.monotonic() + LAST_WRITE_SECONDS
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.descriptor)) as connection:
            connection.shutdown(socket.SHUT_WR)
            while (seconds := deadline - time.monotonic()) > 0:
                connection.settimeout(seconds)
                if not connection.recv(READ_BYTES):
                    break
        self.is_writing = False

    def close(self) -> None:
        with contextlib.suppress(AttributeError):  # it was not even made
            watchdog.forget(self.watch)
        with contextlib.suppress(Exception):
            self.connection.close()

    def release(self) -> Any:
        """The connection, for another link: this one serves no more, and does not close it."""
        watchdog.forget(self.watch)
        self.process = 0
        return self.connection

    def __del__(self) -> None:
        # An interrupt may come before anybody knows of the connection. A child must not end its parent's session.
        if getattr(self, "process", None) == os.getpid():
            self.close()

    def abandon(self) -> None:
        # The driver may say goodbye when the object goes, which would end the parent's session.
        for descriptor in self.descriptors():
            with contextlib.suppress(OSError):
                nothing = os.open(os.devnull, os.O_RDWR)
                os.dup2(nothing, descriptor)
                os.close(nothing)

    def descriptors(self) -> list[int]:
        """All that lead to the socket: the server learns of the parent's end only when no process has one."""
        return [self.descriptor]


class ServerDialect(Dialect):
    """A database behind a network: connecting runs on a thread, and any call may find the server gone."""

    capabilities = Capabilities(shared=True, durable=True, server=True, explain=True, bounded=True)

    def __init__(self, connections: int, timeout_seconds: float) -> None:
        self.connections = connections
        self.timeout_seconds = timeout_seconds
        self.connector = Connector(self.connect_now)

    def check_place(self, create: bool) -> bool:
        return True

    def connect(self, deadline: float) -> Connection:
        return self.connector.connect(deadline)

    def reset_after_fork(self) -> None:
        self.connector = Connector(self.connect_now)

    @abc.abstractmethod
    def connect_now(self, deadline: float) -> Connection:
        """A new connection, made in the calling thread."""

    @abc.abstractmethod
    def setup_fault(self, error: BaseException) -> str | None:
        """`configuration_fault`, as the database's own codes tell it."""

    def configuration_fault(self, error: BaseException) -> str | None:
        if any(words in str(error) for words in UNTRUSTED):
            return "the server's certificate is not trusted"
        return self.setup_fault(error)

    @abc.abstractmethod
    def lacks_right(self, error: BaseException) -> bool:
        """The user may not do that."""

    def define(self, link: Connection, sql: str, deadline: float) -> None:
        try:
            super().define(link, sql, deadline)
        except Exception as error:
            if not self.lacks_right(error):
                raise
            raise ConfigurationError(
                "the user of the URL may not create the tables: grant that right, or run 'module-sdk setup' "
                f"as a user who has it; the first statement is: {sql}"
            ) from error
