"""Counters of free places that wait by a deadline, for pools of connections and for whoever must write alone."""

from __future__ import annotations

import collections
import threading
import time
from typing import Final

# How long who is first in line lets others pass, and how often it looks meanwhile.
PATIENCE_SECONDS: Final = 0.002
LOOK_SECONDS: Final = 0.0005


class FairPlaces:
    """Like a semaphore, but it serves strictly in the order of asking; Python's serves whoever asks fastest.

    While nobody waits, it takes no lock: threads that queue for a lock at each call would do little else.
    """

    def __init__(self, number: int) -> None:
        self.places = collections.deque(range(number))
        self.lock = threading.Lock()
        self.waiting: collections.deque[threading.Lock] = collections.deque()

    @property
    def free(self) -> int:
        return len(self.places)

    def take_free(self) -> bool:
        """Take a place if one is free and nobody waits."""
        if self.waiting:
            return False
        try:
            self.places.pop()
        except IndexError:
            return False
        return True

    def take(self, deadline: float) -> bool:
        """Whether there was a place by the deadline, on the clock of `time.monotonic()`."""
        if self.take_free():
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


class Places(FairPlaces):
    """Nobody starves, but a thread that runs may pass those who wait, for a moment.

    Handing each place to a thread that has to wake up first takes longer than most calls do. So a free place is
    anybody's; only when the first in line has waited for `PATIENCE_SECONDS`, the next one is kept for it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.line = FairPlaces(1)

    def take(self, deadline: float) -> bool:
        """Whether there was a place by the deadline, on the clock of `time.monotonic()`."""
        if self.take_free():
            return True
        if not self.line.take(deadline):
            return False
        try:
            patient_until = min(deadline, time.monotonic() + PATIENCE_SECONDS)
            while time.monotonic() < patient_until:
                if self.take_free():
                    return True
                time.sleep(LOOK_SECONDS)
            return super().take(deadline)
        finally:
            self.line.give()
