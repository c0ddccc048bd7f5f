"""One connection: error replies, broken replies, and connections that must not be reused."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator
from typing import cast

import pytest
import redis
from module_sdk_redis.connection import BoundedConnection, BoundedSocket, RedisConnection


class Wire:
    """A connection, and the server's end of its socket."""

    def __init__(self) -> None:
        ours, self.server = socket.socketpair()
        self.socket = BoundedSocket(ours, time.monotonic() + 60)
        self.connection = RedisConnection(cast("BoundedConnection", self))
        # The connection never needs to ask for the role of the server.
        self.connection.primary_at = math.inf

    def disconnect(self) -> None:
        self.socket.close()

    def ask(self, reply: bytes) -> object:
        self.server.sendall(reply)
        return self.connection.call(time.monotonic() + 60, ("PING",))


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.connection.close()
    wire.server.close()


def test_a_reply_is_returned_unchanged(wire: Wire) -> None:
    assert wire.ask(b"*3\r\n$2\r\nok\r\n$-1\r\n:7\r\n") == [b"ok", None, 7]
    assert wire.server.recv(100) == b"*1\r\n$4\r\nPING\r\n"
    assert wire.ask(b"$70000\r\n" + b"x" * 70_000 + b"\r\n") == b"x" * 70_000


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"-MOVED 7 127.0.0.1:7001\r\n", redis.exceptions.MovedError),
        (b"-ASK 7 127.0.0.1:7001\r\n", redis.exceptions.AskError),
        (b"-NOSCRIPT no such script\r\n", redis.exceptions.NoScriptError),
        (b"-READONLY a replica\r\n", redis.exceptions.ReadOnlyError),
        (b"-ERR some error\r\n", redis.exceptions.ResponseError),
        (b"HTTP/1.1 400 Bad Request\r\n", redis.exceptions.InvalidResponse),
    ],
)
def test_an_error_reply_raises_the_class_of_redis_py(wire: Wire, reply: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        wire.ask(reply)


def test_a_second_reply_to_one_command_is_an_error(wire: Wire) -> None:
    with pytest.raises(redis.InvalidResponse, match="sent more than the reply"):
        wire.ask(b"+PONG\r\n+PONG\r\n")


def test_a_connection_that_ends_within_a_reply_is_lost(wire: Wire) -> None:
    wire.server.sendall(b"$10\r\nhalf")
    wire.server.shutdown(socket.SHUT_WR)
    with pytest.raises(redis.ConnectionError, match="closed"):
        wire.connection.call(time.monotonic() + 60, ("PING",))


def test_a_connection_that_was_shut_just_as_its_reply_arrived_is_not_used_again(wire: Wire) -> None:
    # given a reply that arrived just before the watchdog shut the socket
    assert wire.ask(b"+PONG\r\n") == b"PONG"
    assert wire.connection.is_current()
    wire.connection.watch.deadline = 0
    wire.connection.watch.shut_if_late(time.monotonic())
    # then no call uses the connection, although it answered recently
    assert not wire.connection.is_current()
