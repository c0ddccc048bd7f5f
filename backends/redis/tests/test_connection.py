"""One connection: what becomes of replies that nobody can take for the answer."""

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
    """A link, and the server's end of its socket."""

    def __init__(self) -> None:
        ours, self.server = socket.socketpair()
        self.socket = BoundedSocket(ours, time.monotonic() + 60)
        self.link = RedisConnection(cast("BoundedConnection", self))
        # As of a server that was asked for its role just now.
        self.link.primary_at = math.inf

    def disconnect(self) -> None:
        self.socket.close()

    def ask(self, reply: bytes) -> object:
        self.server.sendall(reply)
        return self.link.call(time.monotonic() + 60, ("PING",))


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.link.close()
    wire.server.close()


def test_a_reply_is_given_as_it_is(wire: Wire) -> None:
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
        (b"-ERR whatever\r\n", redis.exceptions.ResponseError),
        (b"HTTP/1.1 400 Bad Request\r\n", redis.exceptions.InvalidResponse),
    ],
)
def test_an_error_is_of_the_class_of_redis_py(wire: Wire, reply: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        wire.ask(reply)


def test_more_than_one_reply_is_no_answer(wire: Wire) -> None:
    with pytest.raises(redis.InvalidResponse, match="more came than the reply"):
        wire.ask(b"+PONG\r\n+PONG\r\n")


def test_an_end_within_a_reply_is_a_lost_connection(wire: Wire) -> None:
    wire.server.sendall(b"$10\r\nhalf")
    wire.server.shutdown(socket.SHUT_WR)
    with pytest.raises(redis.ConnectionError, match="closed"):
        wire.link.call(time.monotonic() + 60, ("PING",))


def test_a_link_that_was_shut_as_its_answer_came_is_not_used_again(wire: Wire) -> None:
    # given an answer, and a watchdog that was late by a moment
    assert wire.ask(b"+PONG\r\n") == b"PONG"
    assert wire.link.is_current()
    wire.link.watch.deadline = 0
    wire.link.watch.shut_if_late(time.monotonic())
    # then nobody is handed it, fresh as it is
    assert not wire.link.is_current()
