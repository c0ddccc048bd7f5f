"""Event loops of the host: which of them outlive the code that submits work, and when they are closed.

A loop that `asyncio.run` or an async view under WSGI creates ends with that one call, and so does all work on it. Work
therefore runs on the caller's loop only if that loop is known to outlive the call.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

SERVERS: Final = ("uvicorn", "hypercorn", "daphne", "granian", "aiohttp.web", "ipykernel")
"""The first characters of module names of servers whose loops run until the process ends."""
A_CENTURY: Final = 100 * 365 * 86_400.0

known: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
"""Loops that are known to outlive a call, from `module_sdk.lifespan` or `lives_on`."""
open_lifespans: Final[list[object]] = []
"""The `Lifespan` objects that are entered and not yet left."""


def lives_on(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this loop, which runs the calling code, is known to outlive that code."""
    if loop in known:
        return True
    if not any(runs_lasting_loop(frame) for frame in frames_from(sys._getframe(1))):
        return False
    known.add(loop)
    return True


def frames_from(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def runs_lasting_loop(frame: FrameType) -> bool:
    """Return whether the frame is one of a server, or one of `run_forever` not called by `run_until_complete`."""
    module = str(frame.f_globals.get("__name__"))
    if module == "asyncio.base_events":
        caller = frame.f_back
        return frame.f_code.co_name == "run_forever" and (
            caller is None or caller.f_code.co_name != "run_until_complete"
        )
    return module.startswith(SERVERS)


def loop_of_the_main_thread() -> asyncio.AbstractEventLoop | None:
    """Return the loop that currently runs on the main thread, or `None`. Other threads find it in its frames."""
    for frame in frames_from(sys._current_frames().get(threading.main_thread().ident or 0)):
        # A compiled loop has no frame of its own, but `asyncio.Runner.run`, which started it, has one.
        found = frame.f_locals.get({"run_forever": "self", "run": "task"}.get(frame.f_code.co_name, ""))
        loop = found.get_loop() if isinstance(found, asyncio.Task) else found
        if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_running():
            return loop
    return None


class Guard:
    """An object that only a timer refers to. Closing the loop drops its timers, which frees the object."""

    def __call__(self) -> None:
        """Do nothing after a century."""


def when_closed(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
    """Arrange that `callback(*arguments)` is called when the loop is closed. Must be called on the loop's thread.

    Neither asyncio nor uvloop has a hook for this.
    """
    guard = Guard()
    loop.call_later(A_CENTURY, guard)
    weakref.finalize(guard, callback, *arguments).atexit = False
