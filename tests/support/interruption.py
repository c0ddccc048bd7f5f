"""Interrupts at chosen lines: an exception or another call before one line of our code that a call runs."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

OURS: Final = "module_sdk"
LONGEST_SECONDS: Final = 20.0


class Interrupt(BaseException):
    """The exception of a signal handler."""


class TimeLimitError(Exception):
    """The exception of a task queue's signal handler, which is an ordinary exception."""


class AtLine:
    """A context manager that calls `handler` before line `number` of those that are run in our files."""

    def __init__(self, number: int, handler: Callable[[], object]) -> None:
        self.number = number
        self.handler = handler
        self.location = ""

    def __enter__(self) -> AtLine:
        sys.settrace(self.trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def trace(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if OURS not in frame.f_code.co_filename:
            return None
        if event == "line" and not leaves_with(frame):
            self.number -= 1
            if self.number == 0:
                self.location = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                self.handler()
        return self.trace

    @property
    def was_reached(self) -> bool:
        return self.number <= 0


def leaves_with(frame: FrameType) -> bool:
    """Return whether the line is a `with` whose body has ended.

    Python calls a trace function there, but no signal handler: it checks for signals after a call and at the end of a
    loop's body, and so not before the lock is released.
    """
    if not linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
        return False
    return frame.f_lasti != min(start for start, _, line in frame.f_code.co_lines() if line == frame.f_lineno)


def in_a_thread(call: Callable[[], object]) -> None:
    """Make a call on a new thread, and fail if it hangs.

    An exception that a trace function raises stays in its thread and keeps objects alive, unlike one that a signal
    handler raises. It is gone when the thread ends.
    """
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(LONGEST_SECONDS)
    assert not thread.is_alive(), "the call hangs"


def raising(kind: type[BaseException]) -> Callable[[], object]:
    def handler() -> None:
        raise kind

    return handler
