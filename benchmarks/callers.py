"""The async twins: how long a lookup takes while 1, 10 or 200 coroutines ask at once, and how late the event loop gets.

The reference is what one writes by hand: the synchronous client on `asyncio.to_thread`, a connection for each thread.
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
"""Of all callers together, in one round."""
FOUND: Final = 10
TICK_SECONDS: Final = 0.001
LAG_MILLISECONDS: Final = 5.0

Call = Callable[[Any, Any], Awaitable[Sequence[Any]]]


def caller_findings(filled: Filled, rounds: int) -> tuple[list[Result], list[Figure]]:
    """Latencies by number of callers, ours and the reference's in turn; the loop's lag under ours with the most."""
    module_sdk.configure(manager=filled.manager)
    threads = Settings().async_threads
    chance = random.Random(filled.size)
    users = filled.dataset.arguments("list_user_tasks", FOUND)
    times: dict[tuple[int, str], list[int]] = {}
    lags: list[int] = []
    with ThreadPoolExecutor(threads) as pool, References(filled.reference) as references:
        calls: dict[str, Call] = {
            "facade": tasks.alist_user_tasks,
            "reference": functools.partial(on_thread, pool, references.list_user_tasks),
        }
        for callers, _ in itertools.product(CALLERS, range(rounds)):
            for name, call in chance.sample(list(calls.items()), len(calls)):
                arguments = [(chance.choice(users), chance.choice(ORGANIZATIONS)) for _ in range(CALLS)]
                asyncio.run(ask(call, arguments[:threads], callers))  # connections are made in the first round
                taken, late = asyncio.run(ask(call, arguments, callers))
                times.setdefault((callers, name), []).extend(taken)
                if name == "facade" and callers == max(CALLERS):
                    lags.extend(late)
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


async def ask(call: Call, arguments: Sequence[tuple[Any, Any]], callers: int) -> tuple[list[int], list[int]]:
    """How long each call took, and how late the loop was meanwhile, in nanoseconds."""
    remaining = iter(arguments)
    taken: list[int] = []

    async def caller() -> None:
        for one in remaining:
            began = time.perf_counter_ns()
            answer = await call(*one)
            taken.append(time.perf_counter_ns() - began)
            if len(answer) != FOUND:
                raise RuntimeError(f"{len(answer)} rows came: {getattr(answer, 'error', None)}")

    lags: list[int] = []
    ticking = asyncio.create_task(tick(lags))
    await asyncio.gather(*(caller() for _ in range(callers)))
    ticking.cancel()
    return taken, lags


async def tick(lags: list[int]) -> None:
    """Note, again and again, how much later than asked a short sleep ends."""
    while True:
        began = time.perf_counter_ns()
        await asyncio.sleep(TICK_SECONDS)
        lags.append(time.perf_counter_ns() - began - int(TICK_SECONDS * 1e9))


def p99(nanoseconds: Sequence[int]) -> float:
    """In milliseconds."""
    ordered = sorted(nanoseconds)
    return ordered[round((len(ordered) - 1) * 0.99)] / 1e6 if ordered else 0.0


class References:
    """A connection of the reference for each thread that asks."""

    def __init__(self, first: Reference) -> None:
        self.first = first
        self.own = threading.local()
        self.made: list[Reference] = []

    def __enter__(self) -> References:
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self.made:
            if reference is not self.first:
                reference.close()

    def here(self) -> Reference:
        """This thread's."""
        reference: Reference | None = getattr(self.own, "reference", None)
        if reference is None:
            reference = self.own.reference = self.first.another()
            self.made.append(reference)
        return reference

    def list_user_tasks(self, user_id: int, organization_id: int) -> Sequence[Any]:
        return self.here().list_user_tasks(user_id, organization_id)
