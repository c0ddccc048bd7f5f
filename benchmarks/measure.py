"""Timing: the cases in a new random order each round, and the variants of a case one after another.

A disturbance of the machine then slows every variant, and the ratios stay.
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
Result = dict[str, Any]
"""The labels of a case, and `microseconds`: for each variant the median, the p10, the p95 and the number of calls."""
Figure = dict[str, Any]
"""One number: its `name`, `value` and `unit`, and, if it has a bound, `bound` in words and whether it is `met`."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to do it. `enter` is called, untimed, before each batch."""

    name: str
    call: Callable[..., object]
    enter: Callable[[], object] = lambda: None


@dataclasses.dataclass(frozen=True)
class Case:
    """One operation, for all variants. `arguments(n)` returns n sets of arguments and prepares what they need."""

    labels: dict[str, Any]
    variants: tuple[Variant, ...]
    arguments: Arguments
    batch: int = 20
    warm_up_calls: int = WARM_UP_CALLS


def figure(
    name: str, value: float, unit: str, *, at_most: float | None = None, at_least: float | None = None
) -> Figure:
    """Return a figure with the bound that it must keep (docs/performance.md says where each comes from)."""
    stated: Figure = {"name": name, "value": value, "unit": unit}
    if at_most is not None:
        stated |= {"bound": f"at most {at_most:g}", "met": value <= at_most}
    if at_least is not None:
        stated |= {"bound": f"at least {at_least:g}", "met": value >= at_least}
    return stated


def percentiles(nanoseconds: Sequence[int]) -> dict[str, float]:
    ordered = sorted(nanoseconds)
    p10, p95 = (ordered[round((len(ordered) - 1) * share)] / 1_000 for share in (0.1, 0.95))
    return {"median": statistics.median(ordered) / 1_000, "p10": p10, "p95": p95, "calls": len(ordered)}


def ratio(result: Result, variant: str = "facade", base: str = "reference", of: str = "median") -> float:
    """Return how many times as long one variant takes as another."""
    times = result["microseconds"]
    quotient: float = times[variant][of] / times[base][of]
    return quotient


def measure(cases: Sequence[Case], rounds: int, seed: int = 1) -> list[Result]:
    rng = random.Random(seed)
    samples: dict[tuple[int, str], list[int]] = {}
    turns = list(range(len(cases)))
    # Exempt the loaded tasks from collection: collecting a million of them would slow an arbitrary variant.
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            rng.shuffle(turns)
            for number in turns:
                case = cases[number]
                for variant in rng.sample(case.variants, len(case.variants)):
                    samples.setdefault((number, variant.name), []).extend(time_batch(case, variant))
    finally:
        gc.unfreeze()
    return [
        {**case.labels, "microseconds": {one.name: percentiles(samples[number, one.name]) for one in case.variants}}
        for number, case in enumerate(cases)
    ]


def time_batch(case: Case, variant: Variant) -> list[int]:
    """Return the nanoseconds of each call after the warm-up."""
    variant.enter()
    arguments = case.arguments(case.warm_up_calls + case.batch)
    call, clock = variant.call, time.perf_counter_ns
    times = []
    for one in arguments:
        began = clock()
        call(*one)
        times.append(clock() - began)
    return times[case.warm_up_calls :]
