"""The cost of a store that is slow or away: the event loop's lag, and a lookup while the breaker is open."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

from module_sdk_memory.manager import MemoryTaskManager

import module_sdk
from benchmarks.callers import LAG_MILLISECONDS, call_concurrently, p99
from benchmarks.data import Dataset
from benchmarks.measure import Case, Figure, Result, Variant, figure, measure
from module_sdk import tasks
from module_sdk.domain.task import Task
from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.facade.breaker import FAILURES_TO_OPEN

SLOW_SECONDS: Final = 0.05
CALLERS: Final = 200
CALLS_OF_EACH: Final = 5
OPEN_BREAKER_MICROSECONDS: Final = 20.0
# 200 callers share 32 threads. On a busy machine the last ones must not hit the default deadline of two seconds.
LOOKUP_SECONDS: Final = 10.0


class SlowManager(MemoryTaskManager):
    """A store in memory that is as slow as a bad network."""

    def store_find_by_user(self, *arguments: Any) -> Any:
        time.sleep(SLOW_SECONDS)
        return super().store_find_by_user(*arguments)


class UnavailableManager(MemoryTaskManager):
    """A store that is away."""

    def store_find_by_user(self, *arguments: Any) -> Any:
        raise TaskBackendUnavailableError("the store is away")

    def store_ping(self, deadline: float) -> None:
        raise TaskBackendUnavailableError("the store is away")


def lag_on_a_slow_store() -> Figure:
    """Return the loop's lag while many coroutines wait for a store that takes 50 ms for each answer."""
    dataset = Dataset(1_000)
    manager = SlowManager("memory://")
    manager.import_tasks(dataset.tasks())
    module_sdk.configure(manager=manager, lookup_timeout_seconds=LOOKUP_SECONDS)
    users = dataset.arguments("list_user_tasks", 10)
    arguments = [(users[number % len(users)], 1) for number in range(CALLERS * CALLS_OF_EACH)]
    _, lags = asyncio.run(call_concurrently(tasks.alist_user_tasks, arguments, CALLERS))
    name = f"the event loop's lag with {CALLERS} callers of a store that takes 50 ms, p99"
    return figure(name, p99(lags), "milliseconds", at_most=LAG_MILLISECONDS)


@contextlib.contextmanager
def open_breaker() -> Iterator[None]:
    """Put a store that is away in force, with the breaker open."""
    module_sdk.configure(manager=UnavailableManager("memory://"))
    try:
        for _ in range(FAILURES_TO_OPEN):
            tasks.list_user_tasks(7, 1)
        yield
    finally:
        module_sdk.reset()


def failing_lookup(rounds: int) -> tuple[list[Result], list[Figure]]:
    """Time a lookup that fails at once, and one that finds nothing in a healthy store in memory."""
    healthy = MemoryTaskManager("memory://")
    healthy.create(Task.new(user_id=1, organization_id=1, module="m"))
    with open_breaker():
        case = Case(
            labels={"outage": "the breaker is open"},
            variants=(
                Variant("facade", tasks.list_user_tasks),
                Variant("a healthy store in memory", lambda user, organization: healthy.list_user_tasks(user, 1)),
            ),
            arguments=lambda number: [(7, 1)] * number,
            batch=200,
        )
        results = measure([case], rounds)
    median = results[0]["microseconds"]["facade"]["median"]
    name = "a lookup while the breaker is open, median"
    return results, [figure(name, median, "microseconds", at_most=OPEN_BREAKER_MICROSECONDS)]
