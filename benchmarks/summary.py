"""The whole run in two short tables: lookups and writes, a line for each store."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, Final

from benchmarks.bounds import GROWTH_SIZES
from benchmarks.data import LOOKUPS

WRITES: Final = ("create", "create, key held", "update_progress", "complete")

Timings = Sequence[dict[str, Any]]


def lookup_table(findings: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head, and for each store the three lookups together: medians at ten rows, then ratios to the reference."""
    sizes = sorted({one["size"] for stated in findings for one in stated["timings"] if "lookup" in one})
    head = ("store", *(f"{size:,} tasks, µs" for size in sizes))
    ratios = [(found, size) for found in (1, 10, 100, 1_000) for size in sizes[1:] or sizes]
    head = (*head, *(f"ratio, {found:,} of {size:,}" for found, size in ratios), "growth")
    rows = []
    for stated in findings:
        timings = [one for one in stated["timings"] if "lookup" in one]
        if timings:
            medians = (f"{mean_median(timings, 10, size):.0f}" for size in sizes)
            times = (ratio(of_lookups(timings, found, size)) for found, size in ratios)
            rows.append((stated["store"], *medians, *times, growth(timings)))
    return head, rows


def write_table(findings: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head, and for each store the writes at the largest size: microseconds, and the ratio to the reference.

    In brackets the ratio of the tenth percentiles, in which a disk that others use shows less.
    """
    rows = []
    for stated in findings:
        timings = [one for one in stated["timings"] if "write" in one]
        largest = max((one["size"] for one in timings), default=0)
        by_name = {one["write"]: one for one in timings if one["size"] == largest}
        if by_name:
            rows.append((stated["store"], *(cell(by_name[name]) for name in WRITES)))
    return ("store", *WRITES), rows


def of_lookups(timings: Timings, found: int, size: int) -> list[dict[str, Any]]:
    return [one["microseconds"] for one in timings if one["found"] == found and one["size"] == size]


def mean_median(timings: Timings, found: int, size: int) -> float:
    chosen = of_lookups(timings, found, size)
    return statistics.mean(one["facade"]["median"] for one in chosen) if chosen else float("nan")


def ratio(chosen: Sequence[dict[str, Any]]) -> str:
    """Facade over reference, the mean of the lookups."""
    if not chosen:
        return ""
    return f"{statistics.mean(one['facade']['median'] / one['reference']['median'] for one in chosen):.2f}"


def growth(timings: Timings) -> str:
    """From a thousand tasks to a million, for each lookup."""
    grown: list[str] = []
    for lookup in LOOKUPS:
        medians: Iterator[float] = (
            one["microseconds"]["facade"]["median"]
            for size in GROWTH_SIZES
            for one in timings
            if one["lookup"] == lookup and one["found"] == 10 and one["size"] == size
        )
        both = list(medians)
        if len(both) == len(GROWTH_SIZES):
            grown.append(f"{both[1] / both[0]:.1f}")
    return " / ".join(grown)


def cell(one: dict[str, Any]) -> str:
    facade, reference = one["microseconds"]["facade"], one["microseconds"]["reference"]
    times, least = (facade[name] / reference[name] for name in ("median", "p10"))
    return f"{facade['median']:,.0f} µs, {times:.2f} ({least:.2f})"
