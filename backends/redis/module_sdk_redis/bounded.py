"""redis-py's connections with one deadline for a whole call; its own timeouts count anew for each read and write."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from typing import Any, Final

import hiredis
import redis
from redis.connection import Connection, DefaultParser, SSLConnection

from module_sdk.backends import NEVER, watchdog
from module_sdk_redis.options import Address, ServerSettings

# A connection that answered so lately is not looked at: that lets another thread run, which takes its time.
FRESH_SECONDS: Final = 0.1
READ_BYTES: Final = 65_536
INCOMPLETE: Final = object()


class BoundedSocket:
    """Stands before a plain or TLS socket while it connects, and lets no operation begin or end after the deadline."""

    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self.inner = inner
        self.deadline = deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def bound(self) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no time was left")
        self.inner.settimeout(remaining)

    def recv_into(self, *arguments: Any) -> int:
        self.bound()
        return self.inner.recv_into(*arguments)

    def recv(self, *arguments: Any) -> bytes:
        self.bound()
        return self.inner.recv(*arguments)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.bound()
            rest = rest[self.inner.send(rest) :]

    def free(self) -> socket.socket:
        """The socket itself, whose operations wait without end: from here on somebody else keeps the deadline.

        A timeout makes Python wait for the socket first and then use it, and each of the two lets another thread run.
        """
        self.inner.settimeout(None)
        return self.inner


class Bounded:
    """A connection whose socket heeds `deadline`."""

    deadline: float
    socket: BoundedSocket

    def _connect(self) -> BoundedSocket:
        self.socket = BoundedSocket(super()._connect(), self.deadline)  # type: ignore[misc]  # redis-py's own hook
        return self.socket


class BoundedConnection(Bounded, Connection):
    pass


class BoundedTLSConnection(Bounded, SSLConnection):
    pass


class ErrorReply(Exception):  # noqa: N818  # never raised
    """What hiredis makes of an error of the server.

    It must be made without running Python: where a signal's handler raises in the middle of that, hiredis crashes.
    """


class Link:
    """One connection, used by one call at a time, whose calls are ended at their deadline by the watchdog.

    redis-py makes the connection. Commands are packed and replies parsed by hiredis itself, as redis-py would have it
    done, but without what it does around that, which takes a sixth of all the time of a call in Python.
    """

    was_used = True

    def __init__(self, connection: BoundedConnection | BoundedTLSConnection) -> None:
        self.connection: Connection = connection
        self.process = os.getpid()
        stream = connection.socket.free()
        descriptor = stream.fileno()
        self.send = stream.sendall
        self.receive = stream.recv_into
        self.buffer = bytearray(READ_BYTES)
        self.reader = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=ErrorReply, notEnoughData=INCOMPLETE
        )
        self.watch = watchdog.watch(descriptor)
        self.last_used = time.monotonic()
        self.readiness = select.poll()
        self.readiness.register(descriptor, select.POLLIN)

    def is_current(self) -> bool:
        """Nobody has asked, so something to read is the end of the connection, or the rest of another's answer."""
        if self.watch.was_shut:  # as the last answer arrived
            return False
        return time.monotonic() - self.last_used <= FRESH_SECONDS or not self.readiness.poll(0)

    def recover(self, error: BaseException | None) -> bool:
        """Whether the answer has come, and was an error."""
        return isinstance(error, redis.ResponseError)

    def call(self, command: tuple[Any, ...], deadline: float) -> Any:
        """The reply. Raises redis-py's errors, for replies that are errors as well."""
        self.last_used = time.monotonic()
        if self.last_used >= deadline:
            raise redis.TimeoutError("no time was left")
        watchdog.begin(self.watch, deadline)
        try:
            self.send(hiredis.pack_command(packable(command)))
            reply = INCOMPLETE
            while reply is INCOMPLETE:
                count = self.receive(self.buffer)
                if not count:
                    raise redis.ConnectionError("the server has closed the connection")
                self.reader.feed(self.buffer, 0, count)  # type: ignore[arg-type]  # takes any buffer
                reply = self.reader.gets()
        except Exception as error:
            if self.watch.was_shut:
                raise redis.TimeoutError("the server did not answer in time") from error
            if isinstance(error, OSError):
                raise redis.ConnectionError(f"the connection was lost: {error}") from error
            raise
        finally:
            self.watch.deadline = NEVER
            with self.watch.lock:  # the watchdog may be shutting the socket at this moment
                pass
        if self.reader.has_data():
            raise redis.InvalidResponse("more came than the reply, and would be taken for the next one")
        if isinstance(reply, ErrorReply):
            parse: Any = DefaultParser.parse_error
            raise parse(str(reply))
        return reply

    def close(self) -> None:
        with contextlib.suppress(AttributeError):  # it was not even made
            watchdog.forget(self.watch)
        self.connection.disconnect()

    def __del__(self) -> None:
        # An interrupt may come before anybody knows of the connection. A child must not end its parent's session.
        if self.process == os.getpid():
            self.close()


def packable(command: tuple[Any, ...]) -> Any:
    """The command with text for its numbers.

    hiredis writes a number with a call in which Python runs the handlers of signals, and crashes if one of them raises.
    """
    return tuple([item if item.__class__ is str or item.__class__ is bytes else str(item) for item in command])


def connect(settings: ServerSettings, address: Address, deadline: float) -> Link:
    """A connection to one server, made in the calling thread. Raises redis-py's errors."""
    kind = BoundedTLSConnection if settings.uses_tls else BoundedConnection
    # They bound only what runs before the socket is a bounded one.
    seconds = max(0.001, deadline - time.monotonic())
    timeouts: dict[str, Any] = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
    connection: Any = kind(host=address[0], port=address[1], **timeouts, **settings.connection)
    connection.deadline = deadline
    try:
        connection.connect()
        return Link(connection)
    except BaseException:
        with contextlib.suppress(Exception):
            connection.disconnect()
        raise
