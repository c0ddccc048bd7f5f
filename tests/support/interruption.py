"""Interrupts at chosen places: an exception, or another call, before each line of our own that a call runs."""

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
    """What a signal's handler raises."""


class TimeLimitError(Exception):
    """What the handlers of task queues raise: an ordinary exception."""


class AtLine:
    """Calls `handler` before the line of that number that is run of our own files, while the `with` lasts."""

    def __init__(self, number: int, handler: Callable[[], object]) -> None:
        self.number = number
        self.handler = handler
        self.place = ""

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
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                self.handler()
        return self.trace

    @property
    def was_reached(self) -> bool:
        return self.number <= 0


def leaves_with(frame: FrameType) -> bool:
    """Whether the line is a `with` whose body has ended.

    A trace function is called there, but no signal's handler: Python looks for signals after a call and at the end of
    a loop's body, so the next such moment comes after the lock has been released.
    """
    if not linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
        return False
    return frame.f_lasti != min(start for start, _, line in frame.f_code.co_lines() if line == frame.f_lineno)


def in_a_thread(call: Callable[[], object]) -> None:
    """Make a call on a thread that ends then: an exception of a trace function leaves another one behind in its thread,
    where it keeps alive what no signal would. Fails if the call hangs."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(LONGEST_SECONDS)
    assert not thread.is_alive(), "the call hangs"


def raising(kind: type[BaseException]) -> Callable[[], object]:
    def handler() -> None:
        raise kind

    return handler
