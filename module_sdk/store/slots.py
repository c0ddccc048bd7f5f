"""A bounded number of slots, for pools of connections and for exclusive sections. Lost slots are replaced.

A signal handler (Ctrl-C, a time limit) or another thread may raise an exception between any two steps of a call.
Therefore slots are not counted. Each slot is an object, and it is in use while that object lives outside the stock. A
slot is lost if its object is destroyed without having been returned. The pool notices that and makes a new slot.

No step takes a lock, so that a handler that interrupts a call may make another call. A step that must not be
interrupted is a single call of a C function (`deque.append`, `deque.pop`, `set.remove`): signal handlers and other
threads run only between two such calls.
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

Item = TypeVar("Item")

# How long other threads may take slots before the first in line, and how often it tries to take one meanwhile.
PATIENCE_SECONDS: Final = 0.002
POLL_SECONDS: Final = 0.0005
# An interrupt may prevent the announcement of a returned slot, so each waiter also tries to take one this often.
LONGEST_SLEEP_SECONDS: Final = 0.1
# A turn this far past its deadline belongs to a call that was interrupted and that an exception keeps alive.
OVERDUE_SECONDS: Final = 1.0


class Slot(Generic[Item]):
    """The right to use one item of a pool, such as a connection."""

    __slots__ = ("__weakref__", "back", "entry", "is_settled", "item")

    def __init__(self, back: Callable[[Slot[Item]], None]) -> None:
        self.entry: Entry
        self.item: Item | None = None
        self.back = back
        """Returns the slot. `slot.back(slot)` is a single call of a C function, which no interrupt can prevent."""
        self.is_settled = True
        """Whether the last use came to a known end. If not, the state of `item` is unknown."""

    def keep(self, item: Item | None) -> None:
        """Assign an item to the slot. The pool keeps it even if the slot is lost."""
        self.item = self.entry.item = item


class Entry(weakref.ref[Slot[Any]]):
    """The pool's record of a slot, which outlives the slot."""

    __slots__ = ("item",)
    item: Any


class Turn:
    """One wait of a thread for a slot."""

    __slots__ = ("__weakref__", "bell", "deadline")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.bell = threading.Lock()
        self.bell.acquire()


class SlotPool(Generic[Item]):
    """A semaphore that is fair, except that a running thread may pass the waiting ones for a moment.

    Handing each slot to a thread that must first wake up takes longer than most calls. Therefore any thread may take a
    free slot. Only once the first in line has waited for `PATIENCE_SECONDS` is the next slot kept for it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.stock: collections.deque[Slot[Item]] = collections.deque()
        """The free slots. The last one is taken next."""
        self.taking = iter(self.stock.pop, None)
        """Takes a slot per step. No interrupt can come between a step of `for` and its body, as it can after a call."""
        self.entries: set[Entry] = set()
        self.lost: collections.deque[Entry] = collections.deque()
        # Weak references, since an interrupt may prevent a thread from leaving the line. `kept` contains the first in
        # line once the next slot is kept for it. While it is not empty, no other thread may take a slot.
        self.line: collections.deque[weakref.ref[Turn]] = collections.deque()
        self.kept: collections.deque[weakref.ref[Turn]] = collections.deque()
        for _ in range(number):
            self.add(None)

    @property
    def free(self) -> int:
        """The number of slots that no call uses; a slot that was lost counts as free."""
        return self.number - sum(entry() is not None for entry in list(self.entries)) + len(self.stock)

    @property
    def items(self) -> list[Item]:
        """The items of all slots, including slots that are in use or lost."""
        return [entry.item for entry in list(self.entries) if entry.item is not None]

    def take_free(self) -> Slot[Item] | None:
        """Return a free slot, or `None` if there is none or the next one is kept for a waiting thread."""
        if self.lost:
            self.replace_lost()
        return None if self.kept else self.pop()

    def pop(self) -> Slot[Item] | None:
        try:
            for slot in self.taking:
                return slot
        except IndexError:
            pass
        return None

    def take(self, deadline: float) -> Slot[Item] | None:
        """Return a slot, or `None` if none became free by the deadline, on the clock of `time.monotonic()`."""
        slot = self.take_free()
        return self.wait(deadline) if slot is None else slot

    def put_back(self, slot: Slot[Item]) -> None:
        """Return a slot to the pool."""
        slot.back(slot)
        self.announce_return()

    def announce_return(self) -> None:
        """Wake the thread for which the next slot is kept. Call this after `slot.back(slot)`."""
        if self.kept:
            self.wake_first()

    # --- Waiting ----------------------------------------------------------------------------------------------------

    def wait(self, deadline: float) -> Slot[Item] | None:
        turn = Turn(deadline)
        own = weakref.ref(turn)
        slot: Slot[Item] | None = None
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

    def wait_in_line(self, turn: Turn, own: weakref.ref[Turn]) -> Slot[Item] | None:
        patient_until: float | None = None
        while True:
            now = time.monotonic()
            is_first = self.first() is own
            if is_first and patient_until is None:
                patient_until = now + PATIENCE_SECONDS
                self.replace_lost()
            has_waited = patient_until is not None and now >= patient_until
            if is_first and has_waited:
                self.keep_for(own)
            slot = self.pop() if is_first or not self.kept else None
            if slot is not None or now >= turn.deadline:
                return slot
            if is_first and not has_waited:
                time.sleep(min(POLL_SECONDS, turn.deadline - now))
            elif not turn.bell.acquire(timeout=min(LONGEST_SLEEP_SECONDS, turn.deadline - now)) and is_first:
                self.replace_lost()

    def leave(self, own: weakref.ref[Turn]) -> None:
        remove(self.line, own)
        remove(self.kept, own)
        self.wake_first()

    def first(self) -> weakref.ref[Turn] | None:
        """Return the first turn in line, after removing turns before it that are gone or overdue."""
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

    def wake_first(self) -> None:
        first = self.first()
        turn = None if first is None else first()
        if turn is not None:
            ring(turn.bell)

    # --- Lost slots -------------------------------------------------------------------------------------------------

    def replace_lost(self) -> None:
        """Make a new slot for each one that was destroyed in use. It gets the old item, whose state is unknown."""
        noticed = list(self.lost)
        for entry in list(self.entries):
            if entry() is None:
                try:
                    self.entries.remove(entry)
                except KeyError:  # another thread has already replaced it
                    continue
                self.add(entry.item)
        # Two threads may both have added a slot, since only their single steps are atomic.
        while len(self.entries) > self.number and (slot := self.pop()) is not None:
            self.entries.discard(slot.entry)
        while len(self.entries) < self.number:
            self.add(None)
        # This must come last: if an interrupt prevents it, the next call searches again.
        for entry in noticed:
            with contextlib.suppress(ValueError):
                self.lost.remove(entry)

    def add(self, item: Item | None) -> None:
        if len(self.entries) >= self.number:  # another thread has already added one
            return
        slot: Slot[Item] = Slot(self.stock.append if item is not None else self.stock.appendleft)
        entry = slot.entry = Entry(slot, self.lost.append)
        slot.keep(item)
        slot.is_settled = item is None
        try:
            self.entries.add(entry)
        finally:
            # Even after an interrupt: a stored exception may keep this frame, and with it the slot, alive.
            slot.back(slot)


def remove(turns: collections.deque[weakref.ref[Turn]], turn: weakref.ref[Turn]) -> None:
    with contextlib.suppress(ValueError):
        turns.remove(turn)
