"""The common parts of databases behind a network."""

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

# A connection that was idle for longer than this is replaced: a firewall may have dropped it silently.
MAXIMUM_IDLE_SECONDS: Final = 60.0
# A connection that answered so recently is not polled: polling lets another thread run, which delays the call.
FRESH_SECONDS: Final = 0.1
ROLLBACK_SECONDS: Final = 1.0
READ_BYTES: Final = 65_536
# How long to wait for the end of an interrupted write. By then it has its locks or is in the server's queue for them,
# so no later write of the same row can overtake it.
INTERRUPTED_WRITE_SECONDS: Final = 1.0
# Messages of OpenSSL, which every driver passes on.
UNTRUSTED: Final = ("certificate verify failed", "self-signed certificate", "unable to get local issuer certificate")


class NetworkConnection(Connection):
    """A connection whose calls the watchdog ends at their deadlines."""

    is_writing = False
    """Whether a write was sent whose answer has not arrived."""

    def __init__(self, raw: Any, descriptor: int) -> None:
        self.raw = raw
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
        # An idle connection must have nothing to read. If it does, the server has closed it.
        return idle_seconds < MAXIMUM_IDLE_SECONDS and not self.poller.poll(0)

    def bounded(self, deadline: float, call: Callable[..., Result], *arguments: Any) -> Result:
        """Return the result of a call of the driver, which the watchdog ends at the deadline."""
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
            with watch.lock:  # wait for a watchdog that is shutting the socket at this moment
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
        """Run `bounded` for a call that changes the store."""
        self.is_writing = True
        result = self.bounded(deadline, call, *arguments)
        self.is_writing = False
        return result

    @abc.abstractmethod
    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """Run `fetch` without the watchdog."""

    def run_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """Run `fetch_changed` without the watchdog."""
        return self.run_fetch(sql, arguments, deadline)

    @abc.abstractmethod
    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """Run `execute` without the watchdog."""

    @abc.abstractmethod
    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run `execute_many` without the watchdog."""

    errors: tuple[type[Exception], ...]
    """The driver's errors, after which no answer is still on its way."""

    @abc.abstractmethod
    def is_broken(self) -> bool:
        """Return whether the driver knows that the connection is lost."""

    def recover(self, error: BaseException | None) -> bool:
        # After any other exception, such as an interrupt, an answer may still be on its way. The next call would take
        # it for its own.
        if not isinstance(error, (*self.errors, TaskBackendError)):
            self.wait_for_write()
            return False
        self.is_writing = False
        if self.watch.was_shut or self.is_broken():
            return False
        try:
            self.execute("ROLLBACK", (), time.monotonic() + ROLLBACK_SECONDS)
        except Exception:  # any error of the driver makes the connection unusable
            return False
        return not self.watch.was_shut

    def wait_for_write(self) -> None:
        """Wait until the server has ended an interrupted write, so that no write on another connection overtakes it.

        This shuts the sending side of the socket: the server then closes the connection when it has ended the write.
        The connection cannot be used afterwards.
        """
        if not self.is_writing or self.watch.was_shut:
            return
        deadline = time.monotonic() + INTERRUPTED_WRITE_SECONDS
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.descriptor)) as stream:
            stream.shutdown(socket.SHUT_WR)
            while (seconds := deadline - time.monotonic()) > 0:
                stream.settimeout(seconds)
                if not stream.recv(READ_BYTES):
                    break
        self.is_writing = False

    def close(self) -> None:
        with contextlib.suppress(AttributeError):  # the constructor was interrupted
            watchdog.forget(self.watch)
        with contextlib.suppress(Exception):
            self.raw.close()

    def release(self) -> Any:
        """Return the driver's connection for use in another object; this one never closes it, and must not be used."""
        watchdog.forget(self.watch)
        self.process = 0
        return self.raw

    def __del__(self) -> None:
        # An interrupt may leave a new connection that no pool knows. A child must not end its parent's session.
        if getattr(self, "process", None) == os.getpid():
            self.close()

    def abandon(self) -> None:
        # The driver may send a closing message when its object is deleted, which would end the parent's session.
        for descriptor in self.descriptors():
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, descriptor)
                os.close(null)

    def descriptors(self) -> list[int]:
        """Return all descriptors of the socket; the server notices the parent's end only when no process has one."""
        return [self.descriptor]


class ServerDialect(Dialect):
    """A database behind a network. Connecting runs on a thread, and the server may be lost in any call."""

    capabilities = Capabilities(shared=True, durable=True, server=True, explain=True, bounded=True)

    def __init__(self, connections: int, timeout_seconds: float) -> None:
        self.connections = connections
        self.timeout_seconds = timeout_seconds
        self.connector = Connector(self.connect_now)

    def prepare_location(self, create: bool) -> bool:
        return True

    def connect(self, deadline: float) -> Connection:
        return self.connector.connect(deadline)

    def reset_after_fork(self) -> None:
        self.connector = Connector(self.connect_now)

    @abc.abstractmethod
    def connect_now(self, deadline: float) -> Connection:
        """Return a new connection, made in the calling thread."""

    @abc.abstractmethod
    def fault_of_code(self, error: BaseException) -> str | None:
        """Return `setup_fault` for an error code of the database."""

    def setup_fault(self, error: BaseException) -> str | None:
        if any(words in str(error) for words in UNTRUSTED):
            return "the server's certificate is not trusted"
        return self.fault_of_code(error)

    @abc.abstractmethod
    def lacks_right(self, error: BaseException) -> bool:
        """Return whether the user lacks the right to do this."""

    def define(self, connection: Connection, sql: str, deadline: float) -> None:
        try:
            super().define(connection, sql, deadline)
        except Exception as error:
            if not self.lacks_right(error):
                raise
            raise ConfigurationError(
                "the user of the URL may not create the tables: grant that right, or run 'module-sdk setup' "
                f"as a user who has it; the first statement is: {sql}"
            ) from error
