"""The bounds on a store's timings: ratios to the reference of the same run, and growth (docs/performance.md)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks.data import LOOKUPS
from benchmarks.measure import Figure, Result, figure, ratio

LARGE: Final = 100_000
"""The ratios of lookups are bounded from this many tasks on. Below it, the fixed cost of a call dominates."""

AT_TEN: Final = {"memory": 3.0, "sqlite": 1.5, "postgresql": 1.5, "mariadb": 1.3, "redis": 1.25, "mongo": 1.15}
AT_HUNDRED: Final = {"memory": 2.0}
AT_HUNDRED_ELSEWHERE: Final = 1.3
WRITES: Final = 1.4
GROWTH: Final = {"memory": 10.0, "sqlite": 3.0, "postgresql": 2.0, "mariadb": 1.6, "redis": 1.6, "mongo": 1.25}
GROWTH_SIZES: Final = (1_000, 1_000_000)


def store_figures(store: str, timings: Sequence[Result]) -> list[Figure]:
    """Return the facade's ratios to the reference for lookups and writes, and the growth of the lookups."""
    figures = []
    for found, limit in ((10, AT_TEN[store]), (100, AT_HUNDRED.get(store, AT_HUNDRED_ELSEWHERE))):
        for size in sorted({one["size"] for one in timings}):
            chosen = of_lookups(timings, found, size)
            if chosen:
                name = f"lookups, {found} found of {size:,}: facade over reference"
                times = statistics.mean(map(ratio, chosen))
                figures.append(figure(name, times, "times", at_most=limit if size >= LARGE else None))
    for one in timings:
        if "write" in one:
            name = f"{one['write']}, {one['size']:,} tasks: facade over reference"
            figures.append(figure(name, ratio(one), "times", at_most=WRITES))
    for lookup, times in growth(timings).items():
        name = f"growth of {lookup} from {GROWTH_SIZES[0]:,} to {GROWTH_SIZES[1]:,} tasks"
        figures.append(figure(name, times, "times", at_most=GROWTH[store]))
    return figures


def growth(timings: Sequence[Result]) -> dict[str, float]:
    """Return for each lookup of ten how many times as long the facade takes in the largest store as in the smallest.

    The result is empty unless both sizes were measured.
    """
    small, large = (
        {one["lookup"]: one["microseconds"]["facade"]["median"] for one in of_lookups(timings, 10, size)}
        for size in GROWTH_SIZES
    )
    return {lookup: large[lookup] / small[lookup] for lookup in LOOKUPS if lookup in small and lookup in large}


def of_lookups(timings: Sequence[Result], found: int, size: int) -> list[Result]:
    return [one for one in timings if "lookup" in one and (one["found"], one["size"]) == (found, size)]
