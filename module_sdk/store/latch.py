"""A one-way event that a signal cannot break.

`threading.Event` runs Python code while it holds its lock. An exception that a signal's handler raises there leaves the
lock held, and every later `set` and `wait` then blocks for ever, deadline or not.
"""

from __future__ import annotations

import threading
import time
from typing import Final

# The bell may be lost to an interrupt between its two steps, so each waiter looks by itself this often.
LOOK_SECONDS: Final = 0.1


class Latch:
    """Starts unset; once set, it stays set."""

    __slots__ = ("bell", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self.bell = threading.Lock()
        self.bell.acquire()

    def set(self) -> None:
        """Let every thread that waits go on."""
        self.is_set = True
        ring(self.bell)

    def wait(self, seconds: float) -> bool:
        """Return whether it is set, after so many seconds at most."""
        deadline = time.monotonic() + seconds
        while not self.is_set:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self.bell.acquire(timeout=min(left, LOOK_SECONDS)):
                # The next thread that waits must hear it too.
                ring(self.bell)
        return True


def ring(bell: threading.Lock) -> None:
    """Release a lock that is used as a bell; one that rings already goes on ringing."""
    try:
        bell.release()
    except RuntimeError:
        return
