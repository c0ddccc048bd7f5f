"""The async versions: how long a lookup takes with 1, 10 or 200 concurrent callers, and how much the event loop lags.

The reference is what an application would do by hand: the synchronous client on threads, with a connection per thread.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import module_sdk
from benchmarks.data import ORGANIZATIONS
from benchmarks.measure import Figure, Result, figure, percentiles
from benchmarks.references.base import Reference
from benchmarks.stores import Filled
from module_sdk import tasks
from module_sdk.facade.settings import Settings

CALLERS: Final = (1, 10, 200)
CALLS: Final = 400
"""The number of calls per round, by all callers together."""
FOUND: Final = 10
TICK_SECONDS: Final = 0.001
LAG_MILLISECONDS: Final = 5.0

Call = Callable[[Any, Any], Awaitable[Sequence[Any]]]


def caller_findings(filled: Filled, rounds: int) -> tuple[list[Result], list[Figure]]:
    """Return the latencies of facade and reference by number of callers, and the loop's lag under the facade."""
    module_sdk.configure(manager=filled.manager)
    threads = Settings().async_threads
    rng = random.Random(filled.size)
    users = filled.dataset.arguments("list_user_tasks", FOUND)
    times: dict[tuple[int, str], list[int]] = {}
    lags: list[int] = []
    with ThreadPoolExecutor(threads) as pool, ReferencePool(filled.reference) as references:
        calls: dict[str, Call] = {
            "facade": tasks.alist_user_tasks,
            "reference": functools.partial(on_thread, pool, references.list_user_tasks),
        }
        for callers, _ in itertools.product(CALLERS, range(rounds)):
            for name, call in rng.sample(list(calls.items()), len(calls)):
                arguments = [(rng.choice(users), rng.choice(ORGANIZATIONS)) for _ in range(CALLS)]
                asyncio.run(call_concurrently(call, arguments[:threads], callers))  # opens the connections
                taken, more_lags = asyncio.run(call_concurrently(call, arguments, callers))
                times.setdefault((callers, name), []).extend(taken)
                if name == "facade" and callers == max(CALLERS):
                    lags.extend(more_lags)
    results = [
        {
            "async callers": callers,
            "found": FOUND,
            "size": filled.size,
            "microseconds": {name: percentiles(times[callers, name]) for name in calls},
        }
        for callers in CALLERS
    ]
    return results, [figure(f"the event loop's lag with {max(CALLERS)} callers, p99", p99(lags), "milliseconds")]


async def on_thread(pool: ThreadPoolExecutor, call: Callable[..., Sequence[Any]], *arguments: Any) -> Sequence[Any]:
    return await asyncio.get_running_loop().run_in_executor(pool, call, *arguments)


async def call_concurrently(
    call: Call, arguments: Sequence[tuple[Any, Any]], callers: int
) -> tuple[list[int], list[int]]:
    """Return the duration of each call and the lags of the loop meanwhile, in nanoseconds."""
    remaining = iter(arguments)
    taken: list[int] = []

    async def caller() -> None:
        for one in remaining:
            began = time.perf_counter_ns()
            answer = await call(*one)
            taken.append(time.perf_counter_ns() - began)
            if len(answer) != FOUND:
                raise RuntimeError(f"{len(answer)} rows, expected {FOUND}: {getattr(answer, 'error', None)}")

    lags: list[int] = []
    ticking = asyncio.create_task(tick(lags))
    await asyncio.gather(*(caller() for _ in range(callers)))
    ticking.cancel()
    return taken, lags


async def tick(lags: list[int]) -> None:
    """Record, until cancelled, how much longer than requested a short sleep takes."""
    while True:
        began = time.perf_counter_ns()
        await asyncio.sleep(TICK_SECONDS)
        lags.append(time.perf_counter_ns() - began - int(TICK_SECONDS * 1e9))


def p99(nanoseconds: Sequence[int]) -> float:
    """Return the 99th percentile in milliseconds."""
    ordered = sorted(nanoseconds)
    return ordered[round((len(ordered) - 1) * 0.99)] / 1e6 if ordered else 0.0


class ReferencePool:
    """A connection of the reference per calling thread."""

    def __init__(self, first: Reference) -> None:
        self.first = first
        self.local = threading.local()
        self.opened: list[Reference] = []

    def __enter__(self) -> ReferencePool:
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self.opened:
            if reference is not self.first:
                reference.close()

    def of_this_thread(self) -> Reference:
        reference: Reference | None = getattr(self.local, "reference", None)
        if reference is None:
            reference = self.local.reference = self.first.for_another_thread()
            self.opened.append(reference)
        return reference

    def list_user_tasks(self, user_id: int, organization_id: int) -> Sequence[Any]:
        return self.of_this_thread().list_user_tasks(user_id, organization_id)
