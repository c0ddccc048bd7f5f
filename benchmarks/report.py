"""The report: Markdown tables, in the terminal and in `report.md`, and a plot of latency against size."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.bounds import growth, of_lookups
from benchmarks.measure import Result, ratio

VARIANTS: Final = ("facade", "manager", "reference")
TITLES: Final = ("lookup", "write", "outage")
WRITES: Final = ("create", "create, key held", "update_progress", "complete")
PLOT_COLUMNS: Final = 3

Findings = dict[str, Any]
"""What was measured of one `store`, or of `process`: `versions`, `timings` and `figures`."""


def write(results: dict[str, Any], output: Path) -> None:
    """Write `report.md` and, if lookups of several sizes were timed, `latency.svg`."""
    findings = results["findings"]
    lines = ["# Benchmarks", "", *machine_lines(results["machine"]), ""]
    lines += [*lookup_table(findings), *write_table(findings)]
    for one in findings:
        lines += section(one)
    (output / "report.md").write_text("\n".join(lines))
    draw(findings, output / "latency.svg")


def section(one: Findings) -> list[str]:
    """Return everything about one store."""
    lines = [f"## {one['store']}", ""]
    if one["versions"]:
        lines += [f"{one['versions']}.", ""]
    head = ("call", "found", "tasks", *(f"{name}, µs" for name in VARIANTS), "facade p95, µs", "ratio")
    lines += markdown(head, map(timing_row, one["timings"]))
    lines += markdown(("figure", "value", "unit", "bound", "met"), map(figure_row, one["figures"]))
    return lines


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table and an empty one, or none if the table has no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""] if lines else []


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine_lines(machine: dict[str, Any]) -> Iterator[str]:
    drivers = ", ".join(f"{name} {version}" for name, version in machine["drivers"].items())
    yield f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['system']}, "
    yield f"{machine['python']}, SQLite {machine['sqlite']}, {drivers}."
    before, after = machine["load_average"], machine["load_average_at_the_end"]
    yield f"Load average {before[0]:.1f} at the beginning, {after[0]:.1f} at the end."


def timing_row(one: Result) -> tuple[str, ...]:
    times = one["microseconds"]
    callers = f"{one['async callers']} async callers" if "async callers" in one else None
    return (
        callers or str(next(one[title] for title in TITLES if title in one)),
        str(one.get("found", "")),
        f"{one['size']:,}" if "size" in one else "",
        *(number(times[name]["median"]) if name in times else "" for name in VARIANTS),
        number(times["facade"]["p95"]),
        f"{ratio(one):.2f}" if "reference" in times else "",
    )


def figure_row(one: dict[str, Any]) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "no"}[one.get("met")]
    return one["name"], number(one["value"]), one["unit"], one.get("bound", ""), met


def lookup_table(findings: Sequence[Findings]) -> list[str]:
    """A row per store: the medians of the three lookups at ten rows, then their ratios to the reference."""
    sizes = sorted({timing["size"] for one in findings for timing in one["timings"] if "lookup" in timing})
    groups = [(found, size) for found in (1, 10, 100, 1_000) for size in sizes[1:] or sizes]
    head = ("store", *(f"{size:,} tasks, µs" for size in sizes))
    head += (*(f"ratio, {found:,} of {size:,}" for found, size in groups), "growth")
    rows = []
    for one in findings:
        timings = one["timings"]
        if any("lookup" in timing for timing in timings):
            medians = (mean_median(of_lookups(timings, 10, size)) for size in sizes)
            ratios = (mean_ratio(of_lookups(timings, found, size)) for found, size in groups)
            grown = " / ".join(f"{times:.1f}" for times in growth(timings).values())
            rows.append((one["store"], *medians, *ratios, grown))
    return markdown(head, rows)


def mean_median(chosen: Sequence[Result]) -> str:
    return f"{statistics.mean(one['microseconds']['facade']['median'] for one in chosen):.0f}" if chosen else ""


def mean_ratio(chosen: Sequence[Result]) -> str:
    return f"{statistics.mean(map(ratio, chosen)):.2f}" if chosen else ""


def write_table(findings: Sequence[Findings]) -> list[str]:
    """A row per store: the writes at the largest size, in microseconds, and the ratio to the reference.

    In brackets the ratio of the tenth percentiles, which suffers less when others use the disk.
    """
    rows = []
    for one in findings:
        timings = [timing for timing in one["timings"] if "write" in timing]
        largest = max((timing["size"] for timing in timings), default=0)
        by_name = {timing["write"]: timing for timing in timings if timing["size"] == largest}
        if by_name:
            rows.append((one["store"], *(write_cell(by_name[name]) for name in WRITES)))
    return markdown(("store", *WRITES), rows)


def write_cell(one: Result) -> str:
    return f"{one['microseconds']['facade']['median']:,.0f} µs, {ratio(one):.2f} ({ratio(one, of='p10'):.2f})"


def draw(findings: Sequence[Findings], path: Path) -> None:
    """Plot the facade's and the reference's latency for each store of which several sizes were timed."""
    series = {
        one["store"]: sorted(
            (timing["size"], timing["microseconds"])
            for timing in one["timings"]
            if timing.get("lookup") == "list_user_tasks" and timing["found"] == 10
        )
        for one in findings
    }
    series = {store: points for store, points in series.items() if len(points) > 1}
    if not series:
        return
    import matplotlib as mpl  # noqa: PLC0415  # not needed for tables, and not part of the tests' extra
    import matplotlib.pyplot as plt  # noqa: PLC0415  # the same

    # The same results must make the same file.
    mpl.rcParams["svg.hashsalt"] = "module-sdk"
    rows = -(-len(series) // PLOT_COLUMNS)
    figure, axes = plt.subplots(rows, PLOT_COLUMNS, figsize=(10, 2.9 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(series) :]:
        axis.set_visible(False)
    for axis, (store, points) in zip(axes.flat, series.items(), strict=False):
        sizes = [size for size, _ in points]
        for name, style in (("facade", "o-"), ("reference", "s--")):
            axis.plot(sizes, [times[name]["median"] for _, times in points], style, label=name, markersize=4)
        axis.set(xscale="log", title=store, xlabel="tasks", ylabel="µs", ylim=(0, None))
        axis.grid(visible=True, alpha=0.3)
    axes.flat[0].legend()
    figure.suptitle("list_user_tasks with 10 tasks found: median latency")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
