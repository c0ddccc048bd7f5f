"""Timing: the cases in an order that is shuffled anew for each round, and the variants of a case one after another.

What slows the machine down for a while then slows all of them down, and the ratios stay.
"""

from __future__ import annotations

import dataclasses
import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

WARM_UP_CALLS: Final = 3
"""Before each batch, untimed."""

Arguments = Callable[[int], Sequence[tuple[Any, ...]]]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to do it. `enter` is called, untimed, before each batch."""

    name: str
    call: Callable[..., object]
    enter: Callable[[], object] = lambda: None


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing that is done by all variants; `arguments(n)` gives n sets of arguments, and prepares what they need."""

    labels: dict[str, Any]
    variants: tuple[Variant, ...]
    arguments: Arguments
    batch: int = 20
    warm_up_calls: int = WARM_UP_CALLS


@dataclasses.dataclass(frozen=True)
class Timing:
    """In microseconds a call."""

    median: float
    p10: float
    p95: float
    calls: int

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> Timing:
        ordered = sorted(nanoseconds)
        last = len(ordered) - 1
        p10, p95 = ordered[round(last * 0.1)], ordered[round(last * 0.95)]
        return cls(statistics.median(ordered) / 1_000, p10 / 1_000, p95 / 1_000, len(ordered))


@dataclasses.dataclass(frozen=True)
class Result:
    labels: dict[str, Any]
    timings: dict[str, Timing]

    def ratio(self, variant: str = "facade", base: str = "reference") -> float:
        """How many times longer the median of one variant is than that of another."""
        return self.timings[variant].median / self.timings[base].median

    def to_dict(self) -> dict[str, Any]:
        return {**self.labels, "microseconds": {name: dataclasses.asdict(one) for name, one in self.timings.items()}}


def measure(cases: Sequence[Case], rounds: int, seed: int = 1) -> list[Result]:
    chance = random.Random(seed)
    samples: dict[tuple[int, str], list[int]] = {}
    turns = list(range(len(cases)))
    # What has been loaded stays; a collection of a million tasks would fall on whoever is measured at the moment.
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            chance.shuffle(turns)
            for number in turns:
                case = cases[number]
                for variant in chance.sample(case.variants, len(case.variants)):
                    samples.setdefault((number, variant.name), []).extend(time_batch(case, variant))
    finally:
        gc.unfreeze()
    return [
        Result(case.labels, {one.name: Timing.of(samples[number, one.name]) for one in case.variants})
        for number, case in enumerate(cases)
    ]


def time_batch(case: Case, variant: Variant) -> list[int]:
    variant.enter()
    arguments = case.arguments(case.warm_up_calls + case.batch)
    call, clock = variant.call, time.perf_counter_ns
    times = []
    for one in arguments:
        began = clock()
        call(*one)
        times.append(clock() - began)
    return times[case.warm_up_calls :]
