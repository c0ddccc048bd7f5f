"""Racing calls, and what their recorded history must obey."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")


def race(calls: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
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
