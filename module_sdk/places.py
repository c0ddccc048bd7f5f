"""A counter of free places that serves in the order of asking."""

from __future__ import annotations

import collections
import threading
import time


class Places:
    """Like a semaphore, but fair: Python's gives a place to whoever asks fastest, and a busy thread starves others.

    While nobody waits, it takes no lock: threads that queue for a lock at each call would do little else.
    """

    def __init__(self, number: int) -> None:
        self.places = collections.deque(range(number))
        self.lock = threading.Lock()
        self.waiting: collections.deque[threading.Lock] = collections.deque()

    @property
    def free(self) -> int:
        return len(self.places)

    def take(self, deadline: float) -> bool:
        """Whether there was a place by the deadline, on the clock of `time.monotonic()`."""
        if not self.waiting:
            try:
                self.places.pop()
            except IndexError:
                pass
            else:
                return True
        turn = threading.Lock()
        turn.acquire()
        self.waiting.append(turn)
        # One may have been given back before its owner could see that somebody waits.
        self.pass_on()
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
        """Give a place back; it goes to who has waited longest."""
        self.places.append(0)
        if self.waiting:
            self.pass_on()

    def pass_on(self) -> None:
        """Hand free places to those who wait."""
        with self.lock:
            while self.waiting and self.places:
                try:
                    self.places.pop()
                except IndexError:
                    return
                self.waiting.popleft().release()
