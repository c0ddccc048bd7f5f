"""redis-py's connections with one deadline for a whole call; its own timeouts count anew for each read and write."""

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

# A connection that answered so lately is not looked at: that lets another thread run, which takes its time.
FRESH_SECONDS: Final = 0.1
READ_BYTES: Final = 65_536
INCOMPLETE: Final = object()

Command = tuple[Any, ...]

ROLE: Final[Command] = ("ROLE",)
UNKNOWN_COMMAND: Final = "unknown command"
# A link asks again for the role of its server, in the trip of the next call, when the last answer is older than this;
ROLE_SECONDS: Final = 0.5
# and after a call that took long in a trip of its own, before the reply is believed.
OLDEST_ROLE_SECONDS: Final = 0.9


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


class RedisConnection:
    """One connection, used by one call at a time, whose calls are ended at their deadline by the watchdog.

    redis-py makes the connection. Commands are packed and replies parsed by hiredis itself, as redis-py would have it
    done, but without what it does around that, which takes a sixth of all the time of a call in Python.

    A server that was demoted to a replica goes on answering reads with what it had then, so a reply counts only if the
    server called itself a primary less than a second before it came.
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
        # When the last question was sent that the server answered as a primary.
        self.primary_at = -math.inf
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

    def call(self, deadline: float, *commands: Command) -> Any:
        """The reply to the last of the commands, which are sent at once.

        Raises redis-py's errors, for a reply that is an error as well, and `ReadOnlyError` if the server is a replica.
        """
        primary_at = self.primary_at
        if time.monotonic() - primary_at > ROLE_SECONDS:
            *replies, role = self.exchange(deadline, *commands, ROLE)
            reply = replies[-1]
            # A node of a cluster that has handed the slot over says who has it.
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
        """Remember that the server is a primary. Raises `ReadOnlyError` if not."""
        if isinstance(role, ErrorReply):
            if UNKNOWN_COMMAND not in str(role):
                raise translated(role)
            # Some services that speak for Redis have no replicas to be asked for; doctor says so.
            self.primary_at = math.inf
        elif role[0] == b"master":
            self.primary_at = self.last_used
        else:
            raise ReadOnlyError("the server is a replica: it answers late and refuses writes")

    def exchange(self, deadline: float, *commands: Command) -> list[Any]:
        """The replies, each of which may be an `ErrorReply`. Raises redis-py's other errors."""
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
            with self.watch.lock:  # the watchdog may be shutting the socket at this moment
                pass
        if len(replies) > len(commands) or self.reader.has_data():
            raise redis.InvalidResponse("more came than the reply, and would be taken for the next one")
        return replies

    def close(self) -> None:
        with contextlib.suppress(AttributeError):  # it was not even made
            watchdog.forget(self.watch)
        self.connection.disconnect()

    def __del__(self) -> None:
        # An interrupt may come before anybody knows of the connection. A child must not end its parent's session.
        if self.process == os.getpid():
            self.close()


def names_another_node(reply: Any) -> bool:
    """Whether a node of a cluster says who has the slot."""
    return isinstance(reply, ErrorReply) and str(reply).startswith(("ASK ", "MOVED "))


def translated(reply: ErrorReply) -> Exception:
    """redis-py's error, made only as it is raised: one that a frame keeps keeps that frame, and a place with it."""
    error: Exception = DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]  # redis-py has no types
    return error


def packable(command: tuple[Any, ...]) -> Any:
    """The command with text for its numbers.

    hiredis writes a number with a call in which Python runs the handlers of signals, and crashes if one of them raises.
    """
    return tuple([item if item.__class__ is str or item.__class__ is bytes else str(item) for item in command])


def connect(settings: ConnectionSettings, address: Address, deadline: float) -> RedisConnection:
    """A connection to one server, made in the calling thread. Raises redis-py's errors."""
    kind = BoundedTLSConnection if settings.uses_tls else BoundedConnection
    # They bound only what runs before the socket is a bounded one.
    seconds = max(0.001, deadline - time.monotonic())
    timeouts: dict[str, Any] = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
    connection: Any = kind(host=address[0], port=address[1], **timeouts, **settings.connection)
    connection.deadline = deadline
    try:
        connection.connect()
        return RedisConnection(connection)
    except BaseException:
        with contextlib.suppress(Exception):
            connection.disconnect()
        raise
