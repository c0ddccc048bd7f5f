"""Managers and servers that fail on purpose, for the FAIL clauses."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

Fault = Callable[[], Any]
"""Called instead of the manager's method: raises, hangs, or returns garbage."""
CUT_ANSWER: Final = b"\x4a\x00\x00\x00\x0a8"
"""The truncated greeting of a MySQL server, which is garbage in every other protocol."""


def raises(error: BaseException) -> Fault:
    """Return a fault that raises the error."""

    def fault() -> Any:
        raise error

    return fault


def returns(answer: object) -> Fault:
    """Return a fault that returns the answer."""
    return lambda: answer


def hangs(until: threading.Event) -> Fault:
    """Return a fault that waits for the event, at most a minute, and then returns a meaningless answer."""
    return lambda: until.wait(60)


class FaultyManager:
    """A manager that uses up one fault per call. When none is left, calls go to the real manager.

    `always` is the fault of every call after the queued ones. `calls` counts the calls by method. The class is not a
    `TaskManager`, so the facade must treat it like any other object.
    """

    def __init__(self, manager: object, *faults: Fault) -> None:
        self.manager = manager
        self.faults = collections.deque(faults)
        self.always: Fault | None = None
        self.calls: collections.Counter[str] = collections.Counter()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            fault = self.faults.popleft() if self.faults else self.always
            return getattr(self.manager, name)(*args, **kwargs) if fault is None else fault()

        return call


class DriverError(Exception):
    """The error of an imaginary driver."""


@contextlib.contextmanager
def failing_primitives(manager: Any, *names: str) -> Iterator[DriverError]:
    """Let these primitives of the manager raise a driver's error within the block, and yield that error."""
    error = DriverError("the driver failed")
    for name in names:
        setattr(manager, name, lambda *_: raises(error)())
    try:
        yield error
    finally:
        for name in names:
            delattr(manager, name)


def at_port(url: str, port: int) -> str:
    """Return the URL with its host and port replaced by a port of this machine."""
    parts = urlsplit(url)
    userinfo, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{port}"))


@contextlib.contextmanager
def dead_server() -> Iterator[int]:
    """Yield a port that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def deaf_server() -> Iterator[int]:
    """Yield a port whose backlog is full, so that connecting to it never ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as waiting:
        for _ in range(4):
            connection = waiting.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def broken_server(answer: bytes | None) -> Iterator[int]:
    """Yield a port that accepts connections and never answers, or sends `answer` to the first request and closes."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as accepted:
        listener.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    connection = accepted.enter_context(listener.accept()[0])
                    if answer is not None:
                        connection.settimeout(0.2)
                        with contextlib.suppress(OSError):
                            connection.recv(4_096)
                        connection.sendall(answer)
                        connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def outcome_within(seconds: float, call: Callable[[], Any]) -> Any:
    """Return the value that the call returned or the error that it raised.

    If the call takes longer, return a `TimeoutError` and leave the call running on its daemon thread.
    """
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(call())
        except Exception as error:
            outcomes.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcomes[0] if outcomes else TimeoutError(f"no answer within {seconds:g} s")
