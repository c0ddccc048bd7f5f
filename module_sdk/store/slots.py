"""A bounded number of slots that cannot be lost, for pools of connections and for a caller that must write alone.

An exception may be raised between any two steps of a call: by the handler of a signal (Ctrl-C, a time limit), or by
another thread. So slots are not counted. Each is an object: a slot is in use for as long as its object lives outside
the stock, and when the object dies without having been given back, its slot is found again.

No step holds a lock, so a handler that interrupts a call may make another one. What must not be interrupted is a single
call of C (`deque.append`, `deque.pop`, `set.remove`): signals and other threads come in only between two of those.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from module_sdk.store.latch import ring

Thing = TypeVar("Thing")

# How long the first in line lets others pass, and how often it looks meanwhile.
PATIENCE_SECONDS: Final = 0.002
LOOK_SECONDS: Final = 0.0005
# An interrupt may keep a slot that was given back from being announced, so each waiter looks by itself this often.
LONGEST_SLEEP_SECONDS: Final = 0.1
# A turn that is so late belongs to a call that was interrupted, and that an exception keeps alive.
OVERDUE_SECONDS: Final = 1.0


class Slot(Generic[Thing]):
    """One slot, and what belongs to it: a connection, for instance."""

    __slots__ = ("__weakref__", "back", "entry", "is_settled", "item")

    def __init__(self, back: Callable[[Slot[Thing]], None]) -> None:
        self.entry: Entry
        self.item: Thing | None = None
        self.back = back
        """Gives the slot back: `slot.back(slot)` is a single call of C, so that no interrupt can come before it."""
        self.is_settled = True
        """Whether the last call came to a known end; otherwise the state of `item` is unknown."""

    def keep(self, item: Thing | None) -> None:
        """Let `item` belong to the slot; it stays known even if the slot is lost."""
        self.item = self.entry.item = item


class Entry(weakref.ref[Slot[Any]]):
    """What is remembered of a slot, whether it lives or not."""

    __slots__ = ("item",)
    item: Any


class Turn:
    """A thread that waits for a slot."""

    __slots__ = ("__weakref__", "bell", "deadline")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.bell = threading.Lock()
        self.bell.acquire()


class SlotPool(Generic[Thing]):
    """Like a semaphore, but nobody starves, and a thread that runs may pass those who wait, for a moment.

    Handing each slot to a thread that has to wake up first takes longer than most calls do. So a free slot is
    anybody's; only when the first in line has waited for `PATIENCE_SECONDS`, the next one is kept for it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.stock: collections.deque[Slot[Thing]] = collections.deque()
        """The slots that nobody has; the last one is taken next."""
        self.taking = iter(self.stock.pop, None)
        """Takes one: an interrupt comes after each call, but not between an iterator's step and the next."""
        self.entries: set[Entry] = set()
        self.lost: collections.deque[Entry] = collections.deque()
        # Weak, since an interrupt may keep a thread from leaving. `kept` holds the first in line once it may have the
        # next slot: while there is one, nobody takes a slot in passing.
        self.line: collections.deque[weakref.ref[Turn]] = collections.deque()
        self.kept: collections.deque[weakref.ref[Turn]] = collections.deque()
        for _ in range(number):
            self.add(None)

    @property
    def free(self) -> int:
        """How many slots no living call has."""
        return self.number - sum(entry() is not None for entry in list(self.entries)) + len(self.stock)

    @property
    def items(self) -> list[Thing]:
        """What belongs to the slots, those in use and those that were lost included."""
        return [entry.item for entry in list(self.entries) if entry.item is not None]

    def take_free(self) -> Slot[Thing] | None:
        """Take a slot if one is free and nobody has waited too long for it."""
        if self.lost:
            self.find_lost()
        return None if self.kept else self.pop()

    def pop(self) -> Slot[Thing] | None:
        try:
            for slot in self.taking:
                return slot
        except IndexError:
            pass
        return None

    def take(self, deadline: float) -> Slot[Thing] | None:
        """A slot, or `None` if there was none by the deadline, on the clock of `time.monotonic()`."""
        slot = self.take_free()
        return self.wait(deadline) if slot is None else slot

    def give(self, slot: Slot[Thing]) -> None:
        """Give a slot back."""
        slot.back(slot)
        self.given()

    def given(self) -> None:
        """After `slot.back(slot)`: wake the thread that waits for it."""
        if self.kept:
            self.call_first()

    # --- Waiting ----------------------------------------------------------------------------------------------------

    def wait(self, deadline: float) -> Slot[Thing] | None:
        turn = Turn(deadline)
        own = weakref.ref(turn)
        slot: Slot[Thing] | None = None
        try:
            self.line.append(own)
            slot = self.wait_in_line(turn, own)
            self.leave(own)
            return slot
        except BaseException:
            if slot is not None:
                slot.back(slot)
            self.leave(own)
            raise

    def wait_in_line(self, turn: Turn, own: weakref.ref[Turn]) -> Slot[Thing] | None:
        patient_until: float | None = None
        while True:
            now = time.monotonic()
            is_first = self.first() is own
            if is_first and patient_until is None:
                patient_until = now + PATIENCE_SECONDS
                self.find_lost()
            is_kept = patient_until is not None and now >= patient_until
            if is_first and is_kept:
                self.keep_for(own)
            slot = self.pop() if is_first or not self.kept else None
            if slot is not None or now >= turn.deadline:
                return slot
            if is_first and not is_kept:
                time.sleep(min(LOOK_SECONDS, turn.deadline - now))
            elif not turn.bell.acquire(timeout=min(LONGEST_SLEEP_SECONDS, turn.deadline - now)) and is_first:
                self.find_lost()

    def leave(self, own: weakref.ref[Turn]) -> None:
        remove(self.line, own)
        remove(self.kept, own)
        self.call_first()

    def first(self) -> weakref.ref[Turn] | None:
        """The first in line, when those who are gone have been removed."""
        while True:
            try:
                first = self.line[0]
            except IndexError:
                return None
            turn = first()
            if turn is not None and time.monotonic() < turn.deadline + OVERDUE_SECONDS:
                return first
            remove(self.line, first)

    def keep_for(self, own: weakref.ref[Turn]) -> None:
        for other in list(self.kept):
            if other is not own:
                remove(self.kept, other)
        if not self.kept:
            self.kept.append(own)

    def call_first(self) -> None:
        first = self.first()
        turn = None if first is None else first()
        if turn is not None:
            ring(turn.bell)

    # --- What was lost ----------------------------------------------------------------------------------------------

    def find_lost(self) -> None:
        """Make a new slot for each that died in use; what belonged to it belongs to the new one, and is unsettled."""
        noticed = list(self.lost)
        for entry in list(self.entries):
            if entry() is None:
                try:
                    self.entries.remove(entry)
                except KeyError:  # another thread has found it
                    continue
                self.add(entry.item)
        # Two threads may have added one for the same, since only each step of theirs is whole.
        while len(self.entries) > self.number and (slot := self.pop()) is not None:
            self.entries.discard(slot.entry)
        while len(self.entries) < self.number:
            self.add(None)
        # At the end: after an interrupt in between the next call must search again.
        for entry in noticed:
            with contextlib.suppress(ValueError):
                self.lost.remove(entry)

    def add(self, item: Thing | None) -> None:
        if len(self.entries) >= self.number:  # another thread has found the same
            return
        slot: Slot[Thing] = Slot(self.stock.append if item is not None else self.stock.appendleft)
        entry = slot.entry = Entry(slot, self.lost.append)
        slot.keep(item)
        slot.is_settled = item is None
        try:
            self.entries.add(entry)
        finally:
            # Also when an interrupt comes in between, since this frame may live as long as an exception that is kept.
            slot.back(slot)


def remove(turns: collections.deque[weakref.ref[Turn]], turn: weakref.ref[Turn]) -> None:
    with contextlib.suppress(ValueError):
        turns.remove(turn)
