"""A one-way event that a signal cannot break.

`threading.Event` runs Python code while its lock is locked. If a signal handler raises an exception there, the lock
stays locked, and every later `set` and `wait` blocks forever, with or without a timeout.
"""

from __future__ import annotations

import threading
import time
from typing import Final

# An interrupt between the two steps of `wait` may lose the bell, so each waiter also checks `is_set` this often.
POLL_SECONDS: Final = 0.1


class Latch:
    """An event that is not set at first, and that stays set once it is."""

    __slots__ = ("bell", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self.bell = threading.Lock()
        self.bell.acquire()

    def set(self) -> None:
        """Set the latch and wake every waiting thread."""
        self.is_set = True
        ring(self.bell)

    def wait(self, seconds: float) -> bool:
        """Wait until the latch is set, at most this many seconds. Return whether it is set."""
        deadline = time.monotonic() + seconds
        while not self.is_set:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if self.bell.acquire(timeout=min(remaining, POLL_SECONDS)):
                # Wake the next waiting thread as well.
                ring(self.bell)
        return True


def ring(bell: threading.Lock) -> None:
    """Release a lock that serves as a bell. Do nothing if it is already ringing."""
    try:
        bell.release()
    except RuntimeError:
        return
