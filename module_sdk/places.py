"""A counter of free places that serves in the order of asking."""

from __future__ import annotations

import collections
import threading
import time


class Places:
    """Like a semaphore, but fair: Python's gives a place to whoever asks fastest, and a busy thread starves others."""

    def __init__(self, number: int) -> None:
        self.free = number
        self.lock = threading.Lock()
        self.waiting: collections.deque[threading.Lock] = collections.deque()

    def take(self, deadline: float) -> bool:
        """Whether there was a place by the deadline, on the clock of `time.monotonic()`."""
        with self.lock:
            if self.free and not self.waiting:
                self.free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self.waiting.append(turn)
        try:
            if turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
                return True
        except BaseException:
            if not self.leave(turn):
                self.give()
            raise
        return not self.leave(turn)

    def leave(self, turn: threading.Lock) -> bool:
        """Stop waiting; false if a place was given in the meantime."""
        with self.lock:
            if turn not in self.waiting:
                return False
            self.waiting.remove(turn)
            return True

    def give(self) -> None:
        """Pass the place on to who has waited longest."""
        with self.lock:
            if self.waiting:
                self.waiting.popleft().release()
            else:
                self.free += 1
