"""Races: repeat concurrent calls until enough of them have overlapped, and check their recorded history."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import pytest

Result = TypeVar("Result")

# By default Python lets a thread run for 5 ms before it switches to another. A call in memory takes far less, so two
# such calls would hardly ever overlap.
SWITCH_SECONDS: Final = 0.00001
PATIENCE_SECONDS: Final = 20.0
"""The longest time that a test waits for enough overlaps. A busy machine needs more time than an idle one."""


class NotEnoughOverlaps(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """Too few of the racing calls overlapped in time to judge anything, so the clause is unknown."""


def demand_overlaps(event: str, wanted: int, met: Iterable[int]) -> None:
    """Raise `NotEnoughOverlaps` unless the calls of each racer have overlapped others at least `wanted` times."""
    fewest = min(met)
    if fewest < wanted:
        raise NotEnoughOverlaps(
            f"not enough overlaps: {event} {fewest} times of {wanted} within {PATIENCE_SECONDS:g} s; "
            "run the tests again when the machine has less other work"
        )


@contextlib.contextmanager
def frequent_switches() -> Iterator[None]:
    """Let Python switch threads often within the block, so that short calls overlap."""
    earlier = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(earlier)


def race(calls: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """Return the outcomes of `run_at_once` with frequent thread switches, so that the calls overlap."""
    with frequent_switches():
        return run_at_once(calls)


def run_at_once(calls: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """Start every call on its own thread from one barrier. Return the value or the error of each, in order."""
    barrier = threading.Barrier(len(calls))
    outcomes: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        barrier.wait()
        try:
            outcomes[index] = calls[index]()
        except Exception as error:
            outcomes[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


Span = tuple[float, float]
"""The times at which a call began and ended."""


def have_met(spans: Sequence[Span]) -> bool:
    """Return whether a second call began before the first call to end had ended."""
    first_end = min(ended for _, ended in spans)
    return sum(began < first_end for began, _ in spans) > 1


class Rounds:
    """The numbers of rounds, until calls have overlapped in enough of them: `for number in rounds: rounds.race(…)`.

    On a busy machine one call may end before the next begins. Such a round decides nothing and does not count.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.met = 0

    def __iter__(self) -> Iterator[int]:
        until = time.monotonic() + PATIENCE_SECONDS
        for number in itertools.count():
            if self.met >= self.wanted:
                return
            if time.monotonic() > until:
                demand_overlaps("racing calls met", self.wanted, [self.met])
            yield number

    def race(self, calls: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
        """Run `race`, and count the round if its calls overlapped."""
        spans: list[Span] = []

        def timed(call: Callable[[], Result]) -> Result:
            began = time.perf_counter()
            try:
                return call()
            finally:
                spans.append((began, time.perf_counter()))

        outcomes = race([functools.partial(timed, call) for call in calls])
        self.met += have_met(spans)
        return outcomes


def while_writing(write: Callable[[int], None], readers: Sequence[Callable[[], None]], *, overlaps: int) -> None:
    """Call `write(number)` with rising numbers and each reader repeatedly, until each reader has met enough writes.

    A read overlaps a write that returns while it reads. The first error of a writer or reader ends all of them, and is
    raised. Raises `NotEnoughOverlaps` if the time is over first.
    """
    done = threading.Event()
    written = 0
    met = [0] * len(readers)

    def keep_writing() -> None:
        nonlocal written
        until = time.monotonic() + PATIENCE_SECONDS
        try:
            while not done.is_set() and min(met) < overlaps and time.monotonic() < until:
                write(written)
                written += 1
        finally:
            done.set()

    def keep_reading(index: int) -> None:
        try:
            while not done.is_set():
                before = written
                readers[index]()
                met[index] += written != before
        finally:
            done.set()

    reading = [functools.partial(keep_reading, index) for index in range(len(readers))]
    raise_first(race([keep_writing, *reading]))
    demand_overlaps("a read overlapped a write", overlaps, met)


def raise_first(outcomes: Iterable[object]) -> None:
    """Raise the first outcome of a race that is an error, if there is one."""
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One call of a history: `create` or `end` of the task, and the times at which it was called and returned."""

    kind: str
    task_id: str
    created: bool
    called: int
    returned: int


class History:
    """Events of many threads, on one clock."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, kind: str, call: Callable[[], tuple[str, bool]]) -> tuple[str, bool]:
        """Make the call, record when it was called and returned, and return its result."""
        called = time.perf_counter_ns()
        task_id, created = call()
        self.events.append(Event(kind, task_id, created, called, time.perf_counter_ns()))
        return task_id, created

    def both_active(self) -> list[tuple[str, str]]:
        """Return pairs of tasks that were certainly active at the same instant.

        A task is certainly active from the return of its creation until its end is called.
        """
        ends = {event.task_id: event.called for event in self.events if event.kind == "end"}
        spans = sorted(
            (event.returned, ends.get(event.task_id, time.perf_counter_ns()), event.task_id)
            for event in self.events
            if event.kind == "create" and event.created
        )
        return [
            (first[2], second[2])
            for first, second in itertools.pairwise(spans)
            if second[0] < first[1] and first[2] != second[2]
        ]

    def ended_holders(self) -> list[str]:
        """Return the tasks that a `create` returned as the holder although their end had returned before the call."""
        ends = {event.task_id: event.returned for event in self.events if event.kind == "end"}
        return [
            event.task_id
            for event in self.events
            if event.kind == "create" and not event.created and ends.get(event.task_id, event.called) < event.called
        ]
