"""Racing calls, driven until they have really met, and what their recorded history must obey."""

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

# Python lets a thread run for 5 ms where nobody waits for input: far longer than a call in memory takes, so that two
# such calls would hardly ever meet.
SWITCH_SECONDS: Final = 0.00001
PATIENCE_SECONDS: Final = 20.0
"""How long a test goes on for the sake of more calls that meet: a busy machine needs longer."""


class NotEnoughOverlaps(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """Too few of the racing calls met in time to judge anything, so the clause is unknown."""


def demand_overlaps(what: str, wanted: int, met: Iterable[int]) -> None:
    """End the test as not decided unless each of the racers has met others so many times."""
    fewest = min(met)
    if fewest < wanted:
        raise NotEnoughOverlaps(
            f"not enough overlaps: {what} {fewest} times of {wanted} within {PATIENCE_SECONDS:g} s; "
            "run the tests again where the machine has less other work"
        )


@contextlib.contextmanager
def frequent_switches() -> Iterator[None]:
    earlier = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(earlier)


def race(calls: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """`run_at_once`, so that calls meet in the middle."""
    with frequent_switches():
        return run_at_once(calls)


def run_at_once(calls: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """Run every call on a thread of its own, all from one barrier; what each returned or raised, in order."""
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
"""When a call began and when it ended."""


def have_met(spans: Sequence[Span]) -> bool:
    """Whether a second call began before the first was done."""
    first_end = min(ended for _, ended in spans)
    return sum(began < first_end for began, _ in spans) > 1


class Rounds:
    """Numbers of rounds, until in enough of them calls have met: `for number in rounds: rounds.race(…)`.

    On a busy machine one call may be done before the next begins, and such a round decides nothing.
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
        """`race`, which counts for a round in which calls met."""
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
    """`write(number)` with rising numbers, and each reader again and again, until each has met so many writes.

    A reader meets a write that comes back while it reads. Raises what one of them raised, and all end with the first
    that does.
    """
    done = threading.Event()
    written = 0
    met = [0] * len(readers)

    def go_on_writing() -> None:
        nonlocal written
        until = time.monotonic() + PATIENCE_SECONDS
        try:
            while not done.is_set() and min(met) < overlaps and time.monotonic() < until:
                write(written)
                written += 1
        finally:
            done.set()

    def go_on_reading(place: int) -> None:
        try:
            while not done.is_set():
                before = written
                readers[place]()
                met[place] += written != before
        finally:
            done.set()

    reading = [functools.partial(go_on_reading, place) for place in range(len(readers))]
    raise_first(race([go_on_writing, *reading]))
    demand_overlaps("a reader met a write", overlaps, met)


def raise_first(outcomes: Iterable[object]) -> None:
    """Raise the first of the outcomes of a race that is an error."""
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One call of a history: `create` or `end` of the task, and between which moments it took place."""

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
        called = time.perf_counter_ns()
        task_id, created = call()
        self.events.append(Event(kind, task_id, created, called, time.perf_counter_ns()))
        return task_id, created

    def both_active(self) -> list[tuple[str, str]]:
        """Pairs of tasks that were certainly active at one instant: after one's creation, before its end was asked."""
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
        """Tasks that a create gave as the holder although their end had been acknowledged before it was called."""
        ends = {event.task_id: event.returned for event in self.events if event.kind == "end"}
        return [
            event.task_id
            for event in self.events
            if event.kind == "create" and not event.created and ends.get(event.task_id, event.called) < event.called
        ]
