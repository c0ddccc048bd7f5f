"""The results for people: tables in the terminal and in Markdown, and the plot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Findings
from benchmarks.plot import draw
from benchmarks.summary import lookup_table, write_table

VARIANTS: Final = ("facade", "manager", "reference")
TITLES: Final = ("lookup", "write", "outage")


def show(console: Console, findings: Findings) -> None:
    """The findings of one store in the terminal."""
    stated = findings.to_dict()
    table = Table("what", "found", "tasks", *VARIANTS, "p95", "ratio", title=f"{findings.store}: median microseconds")
    for row in timing_rows(stated):
        table.add_row(*row)
    console.print(table)
    figures = Table("figure", "value", "unit", "bound", "met", title=findings.store)
    for row in figure_rows(stated):
        figures.add_row(*row)
    console.print(figures)


def timing_rows(stated: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in stated["timings"]:
        times = one["microseconds"]
        facade, base = times["facade"], times.get("reference")
        yield (
            title_of(one),
            str(one.get("found", "")),
            f"{one['size']:,}" if "size" in one else "",
            *(number(times[name]["median"]) if name in times else "" for name in VARIANTS),
            number(facade["p95"]),
            f"{facade['median'] / base['median']:.2f}" if base else "",
        )


def title_of(one: dict[str, Any]) -> str:
    if "async callers" in one:
        return f"{one['async callers']} async callers"
    return str(next(one[title] for title in TITLES if title in one))


def figure_rows(stated: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in stated["figures"]:
        met = {None: "", True: "yes", False: "no"}[one.get("met")]
        yield one["name"], number(one["value"]), one["unit"], one.get("bound", ""), met


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(results: dict[str, Any], output: Path) -> None:
    """`report.md` and, if there is more than one size, `latency.svg`."""
    lines = ["# Benchmarks", "", *machine_lines(results["machine"]), ""]
    for head, rows in (lookup_table(results["findings"]), write_table(results["findings"])):
        if rows:
            lines += [*markdown(head, iter(rows)), ""]
    for stated in results["findings"]:
        lines += [f"## {stated['store']}", ""]
        if stated["versions"]:
            lines += [f"{stated['versions']}.", ""]
        if stated["timings"]:
            head = ("what", "found", "tasks", *(f"{name}, µs" for name in VARIANTS), "facade p95, µs", "ratio")
            lines += [*markdown(head, timing_rows(stated)), ""]
        if stated["figures"]:
            lines += [*markdown(("figure", "value", "unit", "bound", "met"), figure_rows(stated)), ""]
    (output / "report.md").write_text("\n".join(lines))
    draw(results, output / "latency.svg")


def machine_lines(machine: dict[str, Any]) -> Iterator[str]:
    drivers = ", ".join(f"{name} {version}" for name, version in machine["drivers"].items())
    yield f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['system']}, "
    yield f"{machine['python']}, SQLite {machine['sqlite']}, {drivers}."
    before, after = machine["load_average"], machine["load_average_at_the_end"]
    yield f"Load average {before[0]:.1f} at the beginning, {after[0]:.1f} at the end."


def markdown(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
