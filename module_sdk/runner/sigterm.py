"""The handler of SIGTERM: it ends work as `interrupted`, then lets the signal end the process as usual.

The handler returns at once, and a thread ends the work. The main thread must continue meanwhile, because it may hold a
lock that the ending needs, or run the loop on which work must end.
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

# Longer than a shutdown takes, but less than the ten seconds after which `docker stop` kills.
END_SECONDS: Final = 9.5
# How long the main thread may take to receive the signal again. Running native code can prevent it from doing so.
PASS_ON_SECONDS: Final = 2.0


class SigtermHandler:
    """The handler of this process, installed once work has been submitted from the main thread."""

    def __init__(self) -> None:
        self.end_work: Callable[[], object] = lambda: None
        self.forget()

    def forget(self) -> None:
        """Reset the state, as if nothing had been installed."""
        self.previous: Any = None
        self.is_ending = False
        self.has_ended = False
        self.has_warned = False
        self.passed_on = threading.Event()

    # --- Installing ---------------------------------------------------------------------------------------------------

    def watch(self, end_work: Callable[[], object]) -> bool:
        """Install the handler unless the host has its own. Return whether no later call needs to try again.

        Only the main thread can install it. A call on another thread passes it to the loop of the main thread, if any.
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
                "SIGTERM would leave the tasks of this process active: only the main thread can install its handler, "
                "and that thread has submitted no work and runs no event loop; enter module_sdk.lifespan() there",
            )
        return False

    def install(self) -> None:
        found = signal.getsignal(signal.SIGTERM)
        if is_default(found):
            self.previous = found
            with contextlib.suppress(ValueError):  # an interpreter embedded in a server must not handle signals
                signal.signal(signal.SIGTERM, self.handle)

    def uninstall(self) -> None:
        """Remove the handler in a forked child, which has no work yet."""
        if signal.getsignal(signal.SIGTERM) == self.handle:
            signal.signal(signal.SIGTERM, self.previous)
        self.forget()

    # --- Ending -------------------------------------------------------------------------------------------------------

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.has_ended:
            self.pass_on()
        elif not self.is_ending:
            # Supervisors often send the signal twice, to the process and to its group. Ignore the second.
            self.is_ending = True
            try:
                # Not `threading.Thread`: its `start` takes a lock, which the code that was interrupted may hold.
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
        except Exception as error:  # the process must end in any case
            report(logging.ERROR, "work could not be ended at SIGTERM", error=error)
        self.has_ended = True
        is_ours = signal.getsignal(signal.SIGTERM) == self.handle
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if is_ours and not self.passed_on.wait(PASS_ON_SECONDS):
            os._exit(128 + signal.SIGTERM)

    def finish(self) -> None:
        """End the process by a SIGTERM that arrived before the main thread ended, not with its own exit code."""
        if self.is_ending and not self.passed_on.is_set():
            self.previous = signal.SIG_DFL
            self.pass_on()

    def pass_on(self) -> None:
        """Restore the previous handler and raise the signal for it."""
        self.passed_on.set()
        signal.signal(signal.SIGTERM, self.previous)
        signal.raise_signal(signal.SIGTERM)
        if self.previous is signal.SIG_DFL:
            # Only process 1 of a container reaches this: for it, the kernel ignores the default action.
            os._exit(128 + signal.SIGTERM)


def is_default(handler: Any) -> bool:
    """Return whether the host has left the default handler of SIGTERM.

    The handler of uvicorn counts as the default if no `lifespan` is entered. It stops the server and raises the signal
    again for the default action, which skips `atexit`. So it is replaced, and it gets the signal after the work ended.
    """
    if handler is signal.SIG_DFL:
        return True
    return not open_lifespans and type(getattr(handler, "__self__", None)).__module__ == "uvicorn.server"


sigterm: Final = SigtermHandler()
