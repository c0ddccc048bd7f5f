"""Managers and servers that fail on purpose, for the clauses FAIL."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

Fault = Callable[[], Any]
"""Called in place of the manager's method: raises, hangs, or returns garbage."""
CUT_ANSWER: Final = b"\x4a\x00\x00\x00\x0a8"
"""The beginning of nobody's protocol."""


def raises(error: BaseException) -> Fault:
    def fault() -> Any:
        raise error

    return fault


def returns(answer: object) -> Fault:
    return lambda: answer


def hangs(until: threading.Event) -> Fault:
    """Wait for the event, at most a minute, and then answer nothing of use."""
    return lambda: until.wait(60)


class FaultyManager:
    """A manager that takes the next fault of its queue for each call, and is the real one when the queue is empty.

    Not a `TaskManager`: the facade has to treat it as anybody's object. `calls` counts by method.
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
    """Stands for what a driver raises."""


@contextlib.contextmanager
def failing_primitives(manager: Any, *names: str) -> Iterator[DriverError]:
    """While in the block these primitives of the manager raise a driver's error, which is yielded."""
    error = DriverError("the driver failed")
    for name in names:
        setattr(manager, name, lambda *_: raises(error)())
    try:
        yield error
    finally:
        for name in names:
            delattr(manager, name)


def at_port(url: str, port: int) -> str:
    """The URL with its host replaced by this machine's port."""
    parts = urlsplit(url)
    userinfo, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{port}"))


@contextlib.contextmanager
def dead_server() -> Iterator[int]:
    """A port that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def deaf_server() -> Iterator[int]:
    """A port whose queue of connections is full: connecting to it takes for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as waiting:
        for _ in range(4):
            connection = waiting.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def broken_server(answer: bytes | None) -> Iterator[int]:
    """A port that accepts connections and says nothing, or sends `answer` to each request and hangs up."""
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
    """What the call returned or raised; `TimeoutError` as a value if it took longer, and is left behind."""
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
