"""What is demanded of a store's timings: ratios to the reference of the same run, and growth (docs/performance.md)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks.figures import Bound, Figure
from benchmarks.measure import Result

LARGE: Final = 100_000
"""From this many tasks on the ratios of lookups count: below, a store's own fixed cost is all there is."""

AT_TEN: Final = {"memory": 3.0, "sqlite": 1.5, "postgresql": 1.5, "mariadb": 1.3, "redis": 1.25, "mongo": 1.15}
AT_HUNDRED: Final = {"memory": 2.0}
AT_HUNDRED_ELSEWHERE: Final = 1.3
WRITES: Final = 1.4
GROWTH: Final = {"memory": 10.0, "sqlite": 3.0, "postgresql": 2.0, "mariadb": 1.6, "redis": 1.6, "mongo": 1.25}
GROWTH_SIZES: Final = (1_000, 1_000_000)


def ratios(store: str, timings: Sequence[Result]) -> list[Figure]:
    """The ratio of the facade to the reference at each size, three lookups together, and of each write."""
    figures = []
    for found, limit in ((10, AT_TEN[store]), (100, AT_HUNDRED.get(store, AT_HUNDRED_ELSEWHERE))):
        for size in sizes(timings):
            chosen = [one for one in timings if one.labels.get("found") == found and one.labels["size"] == size]
            if chosen:
                bound = Bound(limit) if size >= LARGE else None
                name = f"lookups, {found} found of {size:,}: facade over reference"
                figures.append(Figure(name, statistics.mean(one.ratio() for one in chosen), "times", bound))
    for one in timings:
        if "write" in one.labels:
            name = f"{one.labels['write']}, {one.labels['size']:,} tasks: facade over reference"
            figures.append(Figure(name, one.ratio(), "times", Bound(WRITES)))
    return figures + growth(store, timings)


def growth(store: str, timings: Sequence[Result]) -> list[Figure]:
    """How many times longer the facade's lookups of ten take in the largest store than in the smallest."""
    small, large = (
        {one.labels["lookup"]: one for one in timings if one.labels.get("found") == 10 and one.labels["size"] == size}
        for size in GROWTH_SIZES
    )
    return [
        Figure(
            f"growth of {lookup} from {GROWTH_SIZES[0]:,} to {GROWTH_SIZES[1]:,} tasks",
            large[lookup].timings["facade"].median / small[lookup].timings["facade"].median,
            "times",
            Bound(GROWTH[store]),
        )
        for lookup in small
        if lookup in large
    ]


def sizes(timings: Sequence[Result]) -> list[int]:
    return sorted({one.labels["size"] for one in timings})
