"""Event loops of the host: which of them outlive the code that submits work, and when one is closed.

A loop that `asyncio.run` or an async view under WSGI makes ends with that one call, and everything on it with it. So
work runs on the caller's loop only if that loop is known to live on; this module decides it.
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
"""Packages whose loops serve until the process ends, as the beginnings of module names."""
A_CENTURY: Final = 100 * 365 * 86_400.0

known: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
"""Loops that are known to live on, by `module_sdk.lifespan` or by what was found below."""
open_lifespans: Final[list[object]] = []
"""What `module_sdk.lifespan` returned, while it is entered."""


def lives_on(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this loop, which runs the calling code, is known to outlive that code."""
    if loop in known:
        return True
    if not any(starts_a_long_life(frame) for frame in frames_from(sys._getframe(1))):
        return False
    known.add(loop)
    return True


def frames_from(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def starts_a_long_life(frame: FrameType) -> bool:
    """Whether this is a server's own frame, or that of `run_forever` called by other than `run_until_complete`."""
    module = str(frame.f_globals.get("__name__"))
    if module == "asyncio.base_events":
        caller = frame.f_back
        return frame.f_code.co_name == "run_forever" and (
            caller is None or caller.f_code.co_name != "run_until_complete"
        )
    return module.startswith(SERVERS)


def loop_of_the_main_thread() -> asyncio.AbstractEventLoop | None:
    """The loop that runs on the main thread just now, as its frames show, for code of other threads."""
    for frame in frames_from(sys._current_frames().get(threading.main_thread().ident or 0)):
        # A loop in compiled code has no frame of its own, but `asyncio.Runner.run`, which started it, has one.
        found = frame.f_locals.get({"run_forever": "self", "run": "task"}.get(frame.f_code.co_name, ""))
        loop = found.get_loop() if isinstance(found, asyncio.Task) else found
        if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_running():
            return loop
    return None


class Guard:
    """Referred to by nothing but a timer, and so freed when the loop drops its timers, which closing it does."""

    def __call__(self) -> None:
        """A century is over."""


def when_closed(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
    """Call it when the loop is closed: neither asyncio nor uvloop has a hook for that. Called on the loop's thread."""
    guard = Guard()
    loop.call_later(A_CENTURY, guard)
    weakref.finalize(guard, callback, *arguments).atexit = False
