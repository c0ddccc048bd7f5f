"""redis-py's connections with one deadline for a whole call; its own timeouts start again on each read and write."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import time
from typing import Any, Final

import hiredis
import redis
from redis.connection import Connection, DefaultParser, SSLConnection
from redis.exceptions import ReadOnlyError

from module_sdk.backends import NEVER, watchdog
from module_sdk_redis.options import Address, ConnectionSettings

# A connection that answered this recently is not polled: polling lets another thread run, which costs time.
FRESH_SECONDS: Final = 0.1
READ_BYTES: Final = 65_536
INCOMPLETE: Final = object()

Command = tuple[Any, ...]

ROLE: Final[Command] = ("ROLE",)
UNKNOWN_COMMAND: Final = "unknown command"
# If the last report of the server's role is older than this, the next call asks for it in the same round trip.
ROLE_SECONDS: Final = 0.5
# If it is older than this after a call, a second round trip asks for the role before the reply is accepted.
OLDEST_ROLE_SECONDS: Final = 0.9


class BoundedSocket:
    """Wraps a plain or TLS socket while it connects, so that no operation begins or ends after the deadline."""

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
        """Return the wrapped socket without a timeout; from now on the watchdog must enforce the deadline.

        With a timeout, Python first waits for the socket and then uses it, and each step lets another thread run.
        """
        self.inner.settimeout(None)
        return self.inner


class Bounded:
    """A mixin for redis-py's connections: their socket keeps to `deadline` while they connect."""

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
    """The object that hiredis creates for an error reply.

    Creating it must not run Python code: if a signal handler raises at that point, hiredis crashes.
    """


class RedisConnection:
    """A connection that one call uses at a time. The watchdog ends each call at its deadline.

    redis-py opens the connection. hiredis packs the commands and parses the replies, as it does for redis-py, but is
    called directly: redis-py's code around it takes a sixth of the time that a call spends in Python.

    A server that was demoted to a replica keeps answering reads with its old data. A reply therefore counts only if the
    server reported that it was a primary less than a second before.
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
        # The start of the last exchange in which the server reported that it was a primary.
        self.primary_at = -math.inf
        self.readiness = select.poll()
        self.readiness.register(descriptor, select.POLLIN)

    def is_current(self) -> bool:
        """Return whether the next call can use the connection.

        An idle connection must have nothing to read. If it does, the server closed it or left a stale reply.
        """
        if self.watch.was_shut:  # just as the last reply arrived
            return False
        return time.monotonic() - self.last_used <= FRESH_SECONDS or not self.readiness.poll(0)

    def recover(self, error: BaseException | None) -> bool:
        """Return whether the error is a reply of the server, so that the connection is still in step."""
        return isinstance(error, redis.ResponseError)

    def call(self, deadline: float, *commands: Command) -> Any:
        """Send the commands together and return the reply to the last one.

        Raises redis-py's errors, also for an error reply, and `ReadOnlyError` if the server is a replica.
        """
        primary_at = self.primary_at
        if time.monotonic() - primary_at > ROLE_SECONDS:
            *replies, role = self.exchange(deadline, *commands, ROLE)
            reply = replies[-1]
            # A cluster node that has handed over the hash slot names its new node, whatever role it has itself.
            if not names_another_node(reply):
                self.check_role(role)
        else:
            reply = self.exchange(deadline, *commands)[-1]
            if time.monotonic() - primary_at > OLDEST_ROLE_SECONDS and not names_another_node(reply):
                self.check_role(*self.exchange(deadline, ROLE))
        if isinstance(reply, ErrorReply):
            raise translated(reply)
        return reply

    def check_role(self, role: Any) -> None:
        """Record that the server is a primary. Raises `ReadOnlyError` if it is not."""
        if isinstance(role, ErrorReply):
            if UNKNOWN_COMMAND not in str(role):
                raise translated(role)
            # Some Redis-compatible services have no ROLE command, so they are never asked again; doctor warns of that.
            self.primary_at = math.inf
        elif role[0] == b"master":
            self.primary_at = self.last_used
        else:
            raise ReadOnlyError("the server is a replica: its data may be old, and it refuses writes")

    def exchange(self, deadline: float, *commands: Command) -> list[Any]:
        """Return the replies, each of which may be an `ErrorReply`. Raises redis-py's other errors."""
        self.last_used = time.monotonic()
        if self.last_used >= deadline:
            raise redis.TimeoutError("no time was left")
        replies: list[Any] = []
        watchdog.begin(self.watch, deadline)
        try:
            self.send(b"".join([hiredis.pack_command(packable(command)) for command in commands]))
            while len(replies) < len(commands):
                count = self.receive(self.buffer)
                if not count:
                    raise redis.ConnectionError("the server has closed the connection")
                self.reader.feed(self.buffer, 0, count)  # type: ignore[arg-type]  # takes any buffer
                while (reply := self.reader.gets()) is not INCOMPLETE:
                    replies.append(reply)
        except Exception as error:
            if self.watch.was_shut:
                raise redis.TimeoutError("the server did not answer in time") from error
            if isinstance(error, OSError):
                raise redis.ConnectionError(f"the connection was lost: {error}") from error
            raise
        finally:
            self.watch.deadline = NEVER
            with self.watch.lock:  # wait for a watchdog that is shutting the socket at this moment
                pass
        if len(replies) > len(commands) or self.reader.has_data():
            raise redis.InvalidResponse(
                "the server sent more than the reply, which the next call would take for its own"
            )
        return replies

    def close(self) -> None:
        with contextlib.suppress(AttributeError):  # without a watch if the constructor failed
            watchdog.forget(self.watch)
        self.connection.disconnect()

    def __del__(self) -> None:
        # An interrupt may come before any code has stored the connection, so it must close itself. A forked child must
        # not: that would end its parent's session.
        if self.process == os.getpid():
            self.close()


def names_another_node(reply: Any) -> bool:
    """Return whether the reply of a cluster node names the node that has the hash slot."""
    return isinstance(reply, ErrorReply) and str(reply).startswith(("ASK ", "MOVED "))


def translated(reply: ErrorReply) -> Exception:
    """Return redis-py's error for an error reply.

    Create it only to raise it at once: an error that a local variable refers to keeps its frame alive, and with that
    frame a slot.
    """
    error: Exception = DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]  # redis-py has no types
    return error


def packable(command: tuple[Any, ...]) -> Any:
    """Return the command with its numbers as text.

    hiredis converts a number with a call in which Python may run signal handlers, and crashes if one of them raises.
    """
    return tuple([item if item.__class__ is str or item.__class__ is bytes else str(item) for item in command])


def connect(settings: ConnectionSettings, address: Address, deadline: float) -> RedisConnection:
    """Return a new connection to one server, opened in the calling thread. Raises redis-py's errors."""
    kind = BoundedTLSConnection if settings.uses_tls else BoundedConnection
    # These timeouts only apply until the socket is wrapped in a `BoundedSocket`.
    seconds = max(0.001, deadline - time.monotonic())
    timeouts: dict[str, Any] = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
    connection: Any = kind(host=address[0], port=address[1], **timeouts, **settings.arguments)
    connection.deadline = deadline
    try:
        connection.connect()
        return RedisConnection(connection)
    except BaseException:
        with contextlib.suppress(Exception):
            connection.disconnect()
        raise
