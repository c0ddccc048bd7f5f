"""SIGTERM: work ends as `interrupted`, and then the process dies of the signal as it would have (DESIGN.md).

The handler returns at once and a thread does the rest. The main thread must go on meanwhile: it may hold a lock that
the rest needs, or run the loop on which work is to end.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from module_sdk.domain.reports import report
from module_sdk.runner.host_loops import loop_of_the_main_thread, open_lifespans

# Longer than a shutdown takes, and less than the ten seconds after which `docker stop` kills.
END_SECONDS: Final = 9.5
# How long the main thread has to receive the signal again; code that is not Python may keep it from that.
PASS_ON_SECONDS: Final = 2.0


class SigtermHandler:
    """At most one in a process, in place once work has been submitted from the main thread."""

    def __init__(self) -> None:
        self.end_work: Callable[[], object] = lambda: None
        self.forget()

    def forget(self) -> None:
        """Begin anew, as if nothing had been installed."""
        self.previous: Any = None
        self.is_ending = False
        self.has_ended = False
        self.has_warned = False
        self.passed_on = threading.Event()

    # --- Installing -------------------------------------------------------------------------------------------------

    def watch(self, end_work: Callable[[], object]) -> bool:
        """Install the handler where the host has left the default; whether that is settled.

        Only the main thread can. From another thread it is passed to the loop that the main thread runs, if any.
        """
        self.end_work = end_work
        if threading.current_thread() is threading.main_thread():
            self.install()
            return True
        if not is_default(signal.getsignal(signal.SIGTERM)):
            return True
        loop = loop_of_the_main_thread()
        if loop is not None:
            loop.call_soon_threadsafe(self.install)
            return True
        if not self.has_warned:
            self.has_warned = True
            report(
                logging.WARNING,
                "SIGTERM would leave this process's tasks active: its handler is installed by the main thread alone, "
                "which has submitted no work and runs no event loop; enter module_sdk.lifespan() there",
            )
        return False

    def install(self) -> None:
        found = signal.getsignal(signal.SIGTERM)
        if is_default(found):
            self.previous = found
            with contextlib.suppress(ValueError):  # an interpreter inside a server leaves signals to that server
                signal.signal(signal.SIGTERM, self.handle)

    def uninstall(self) -> None:
        """In a child that was forked: it answers for no work yet."""
        if signal.getsignal(signal.SIGTERM) == self.handle:
            signal.signal(signal.SIGTERM, self.previous)
        self.forget()

    # --- Ending -----------------------------------------------------------------------------------------------------

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.has_ended:
            self.pass_on()
        elif not self.is_ending:
            # Supervisors often send it twice, to the process and to its group: the second changes nothing.
            self.is_ending = True
            try:
                # Not `threading.Thread`: starting one takes a lock, and the main thread may hold it below this frame.
                _thread.start_new_thread(self.end, ())
            except RuntimeError:  # the system has no more threads
                self.pass_on()

    def end(self) -> None:
        try:
            ending = threading.Thread(target=self.end_work, name="module-sdk-sigterm", daemon=True)
            ending.start()
            ending.join(END_SECONDS)
            if ending.is_alive():
                report(logging.ERROR, "work could not be ended within %g s of SIGTERM", END_SECONDS)
        except Exception as error:  # whatever happens, the process must die
            report(logging.ERROR, "work could not be ended at SIGTERM", error=error)
        self.has_ended = True
        is_ours = signal.getsignal(signal.SIGTERM) == self.handle
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if is_ours and not self.passed_on.wait(PASS_ON_SECONDS):
            os._exit(128 + signal.SIGTERM)

    def finish(self) -> None:
        """At the end of the main thread: die of a signal that came before, rather than with its own exit code."""
        if self.is_ending and not self.passed_on.is_set():
            self.previous = signal.SIG_DFL
            self.pass_on()

    def pass_on(self) -> None:
        """Let the signal do what it would have done."""
        self.passed_on.set()
        signal.signal(signal.SIGTERM, self.previous)
        signal.raise_signal(signal.SIGTERM)
        if self.previous is signal.SIG_DFL:
            # Only the first process of a container gets here: the kernel spares it.
            os._exit(128 + signal.SIGTERM)


def is_default(handler: Any) -> bool:
    """Whether the host left what SIGTERM does by default.

    The handler of uvicorn stops the server and then raises the signal again for the default, past `atexit`. Without a
    `lifespan` it is therefore replaced like the default, and it receives the signal after the work has ended.
    """
    if handler is signal.SIG_DFL:
        return True
    return not open_lifespans and type(getattr(handler, "__self__", None)).__module__ == "uvicorn.server"


sigterm: Final = SigtermHandler()
