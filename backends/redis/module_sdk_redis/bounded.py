"""redis-py's connections with one deadline for a whole call; its own timeouts count anew for each read and write."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Any, Final

import redis
from redis.connection import Connection, SSLConnection

from module_sdk_redis.options import Address, ServerSettings

# How much later than the deadline an operation may end, so that the system need not be told a new time for each one.
SLACK_SECONDS: Final = 0.02


class BoundedSocket:
    """Stands before a plain or TLS socket and lets no operation begin after the deadline, or go on long after it."""

    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self.inner = inner
        self.deadline = deadline
        self.timeout_seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def bound(self) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no time was left")
        if not remaining <= self.timeout_seconds <= remaining + SLACK_SECONDS:
            self.timeout_seconds = remaining + SLACK_SECONDS / 2
            self.inner.settimeout(self.timeout_seconds)

    def recv_into(self, *arguments: Any) -> int:
        self.bound()
        return self.inner.recv_into(*arguments)

    def recv(self, *arguments: Any) -> bytes:
        self.bound()
        return self.inner.recv(*arguments)

    def sendall(self, data: bytes) -> None:
        # Its timeout is one for all that it sends.
        self.bound()
        self.inner.sendall(data)


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


class Link:
    """One connection, used by one call at a time."""

    def __init__(self, connection: BoundedConnection | BoundedTLSConnection) -> None:
        self.connection: Connection = connection
        self.socket = connection.socket
        self.readiness = select.poll()
        self.readiness.register(self.socket.fileno(), select.POLLIN)

    def is_stale(self) -> bool:
        """Nobody has asked, so something to read is the end of the connection, or the rest of another's answer."""
        return bool(self.readiness.poll(0))

    def call(self, command: tuple[Any, ...], deadline: float) -> Any:
        self.socket.deadline = deadline
        self.connection.send_command(*command)
        return self.connection.read_response()

    def close(self) -> None:
        self.connection.disconnect()


class Connector:
    """Connects on a thread, one at a time for each server.

    Resolving a name heeds no deadline, and each address that it has takes a time of its own: the caller leaves in time,
    and the thread that it leaves behind keeps others from starting more.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.turns: dict[Address, threading.Lock] = {}

    def connect(self, address: Address, deadline: float) -> Link:
        """Raises redis-py's errors; its `TimeoutError` when late."""
        turn = self.turns.setdefault(address, threading.Lock())
        if not turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise redis.TimeoutError("an earlier attempt to connect has not come back yet")
        try:
            connection = self.new_connection(address, deadline)
            attempt = Attempt(connection, turn)
            threading.Thread(target=attempt.run, name="module-sdk-redis-connect", daemon=True).start()
        except BaseException:
            turn.release()
            raise
        attempt.wait(deadline)
        return Link(connection)

    def new_connection(self, address: Address, deadline: float) -> BoundedConnection | BoundedTLSConnection:
        kind = BoundedTLSConnection if self.settings.uses_tls else BoundedConnection
        # They bound only what runs before the socket is a bounded one.
        seconds = max(0.001, deadline - time.monotonic())
        timeouts: dict[str, Any] = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
        connection = kind(host=address[0], port=address[1], **timeouts, **self.settings.connection)
        connection.deadline = deadline
        return connection


class Attempt:
    """One connection being made on a thread, for a caller who may have left when it is there."""

    def __init__(self, connection: Connection, turn: threading.Lock) -> None:
        self.connection = connection
        self.turn = turn
        self.lock = threading.Lock()
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.is_abandoned = False

    def run(self) -> None:
        try:
            self.connection.connect()
        except BaseException as error:  # raised in the caller's thread
            self.error = error
        self.turn.release()
        with self.lock:
            self.done.set()
            if self.is_abandoned:
                self.connection.disconnect()

    def wait(self, deadline: float) -> None:
        """Return once it is connected; raises what connecting raised, or `TimeoutError` when late."""
        try:
            self.done.wait(max(0.0, deadline - time.monotonic()))
        finally:
            with self.lock:
                self.is_abandoned = not self.done.is_set()
        if self.is_abandoned:
            raise redis.TimeoutError("the server could not be reached in time")
        if self.error is not None:
            with contextlib.suppress(Exception):
                self.connection.disconnect()
            raise self.error
