"""The summary of a report for the console: verdicts by group, the clauses that have not passed, and the level."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from module_sdk_contract.catalogue import BINDING, CLAUSES, TITLES
from module_sdk_contract.report.levels import UNOPENED, Level, named
from module_sdk_contract.report.verdicts import Verdict

COLUMNS: Final = (
    Verdict.PASSED, Verdict.FAILED, Verdict.DEVIATION, Verdict.NOT_APPLICABLE, Verdict.UNKNOWN, Verdict.NOT_RUN,
)  # fmt: skip
WIDE: Final = 120
"""The width of a terminal from which on the titles of the groups are shown."""
NOT_WRITTEN: Final = re.compile(r"\bNotImplementedError: (store_\w+)")
"""The error of a primitive that is not written yet in the skeleton of `module-sdk new-backend`."""
STYLES: Final = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.DEVIATION: "yellow",
    Verdict.UNKNOWN: "yellow",
    Verdict.NOT_RUN: "yellow",
}


def rendered(
    report: dict[str, Any], *, width: int, color: bool, with_failures: bool, chosen: frozenset[str] = frozenset()
) -> str:
    """Return the text for a terminal of that width; with `chosen`, only the state of those clauses."""
    console = Console(
        file=io.StringIO(), width=max(width, 80), force_terminal=color, no_color=not color, highlight=False
    )
    if not chosen:
        console.print(group_table(report, wide=console.width >= WIDE))
    if with_failures:
        for name in report["blamed"]:
            for failure in report["clauses"][name]["failures"]:
                console.print(Text(f"{failure}\n"), soft_wrap=True)
    for line in chosen_lines(report, chosen) if chosen else summary_lines(report):
        is_failure = line.startswith(("ERROR", "failed", "NOT JUDGED"))
        console.print(Text(line, style="bold red" if is_failure else ""), soft_wrap=True)
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def group_table(report: dict[str, Any], *, wide: bool) -> Table:
    titles = ("",) if wide else ()
    table = Table(
        "clauses", *COLUMNS, *titles, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True
    )
    for column in table.columns[1 : len(COLUMNS) + 1]:
        column.justify = "right"
    counts = {group: dict.fromkeys(COLUMNS, 0) for group in TITLES}
    for clause in BINDING:
        counts[clause.group][Verdict(report["clauses"][clause.id]["verdict"])] += 1
    for group, by_verdict in counts.items():
        if any(by_verdict.values()):
            cells = (Text(str(by_verdict[column] or "."), style=style_of(column, by_verdict)) for column in COLUMNS)
            table.add_row(group, *cells, *((TITLES[group],) if wide else ()))
    for column, verdict in zip(table.columns[1:], COLUMNS, strict=False):
        column.footer = str(report["totals"][verdict])
    table.columns[0].footer = f"of {len(BINDING)}"
    return table


def style_of(column: Verdict, counts: dict[Verdict, int]) -> str:
    return STYLES.get(column, "") if counts[column] else "dim"


def summary_lines(report: dict[str, Any]) -> Iterator[str]:
    yield from verdict_lines(report)
    yield from deviation_lines(report)
    yield canary_line(report["canaries"])
    yield f"contract {report['contract']['version']}, tier {report['tier']}, seed {report['seed']}"
    yield f"level: {report['level']}"
    for level, gaps in report["gaps"].items():
        yield from (f"  {level} lacks: {gap}" for gap in gaps)
        break


def deviation_lines(report: dict[str, Any]) -> Iterator[str]:
    for deviation in report["deviations"]:
        name, verdict, day = deviation["clause"], deviation["verdict"], deviation["expires"]
        without_effect = f", without effect here: {verdict}" if verdict == Verdict.NOT_APPLICABLE else ""
        state = "expired" if deviation["expired"] else "until"
        yield f"declared deviation: {name}, {state} {day}{without_effect}: {deviation['reason']}"
        if deviation["expired"] and verdict == Verdict.FAILED:
            yield f"ERROR: {name} fails, and its deviation expired on {day}: fix the store, or declare a new deviation"
    for clause_id in report["needless_deviations"]:
        yield f"ERROR: {clause_id} passes, and is declared as a deviation: delete the declaration"


def chosen_lines(report: dict[str, Any], chosen: frozenset[str]) -> Iterator[str]:
    """Yield the state of the chosen clauses only: the state of all others would hide it."""
    for verdict in COLUMNS:
        names = [name for name in named_by(verdict, report) if name in chosen]
        if names:
            yield f"{verdict.value}: {', '.join(names)}"
        if verdict in (Verdict.UNKNOWN, Verdict.NOT_APPLICABLE):
            reasons = {reason for name in names for reason in report["clauses"][name]["reasons"]}
            yield from (f"  {reason}" for reason in sorted(reasons))
    yield from unwritten_lines({name: report["clauses"][name] for name in CLAUSES if name in chosen})
    yield from deviation_lines(report)
    yield canary_line(report["canaries"])
    yield f"level: {report['level']}"
    yield from (f"  {gap}" for gap in report["gaps"].get(Level.CORE.value, ()) if gap.startswith(UNOPENED))


def verdict_lines(report: dict[str, Any]) -> Iterator[str]:
    found = {clause.id: report["clauses"][clause.id] for clause in BINDING}
    for verdict in COLUMNS[1:]:
        names = [name for name in named_by(verdict, report) if name in found]
        if names:
            yield f"{verdict.value}: {named(names) if verdict is Verdict.NOT_RUN else ', '.join(names)}"
        if verdict is Verdict.UNKNOWN:
            reasons = {reason for name in names for reason in found[name]["reasons"]}
            yield from (f"  {reason}" for reason in sorted(reasons))
    yield from unwritten_lines(found)
    provisional = [clause.id for clause in CLAUSES.values() if clause.provisional]
    tested = [name for name in provisional if report["clauses"][name]["tests"]]
    yield f"provisional: {len(provisional)} clauses, {len(provisional) - len(tested)} of them without a test yet"
    for name in tested:
        yield f"  {name}: {report['clauses'][name]['verdict']}"


def named_by(verdict: Verdict, report: dict[str, Any]) -> list[str]:
    """Return the clauses with that verdict; for failed clauses the likeliest cause comes first."""
    order = report["blamed"] if verdict is Verdict.FAILED else CLAUSES
    return [name for name in order if report["clauses"][name]["verdict"] == verdict]


def unwritten_lines(clauses: dict[str, Any]) -> Iterator[str]:
    """Yield the primitives that tests needed and that are not written yet, with the clauses that wait for them."""
    waiting: dict[str, list[str]] = {}
    for name, clause in clauses.items():
        for primitive in sorted(set(NOT_WRITTEN.findall("\n".join(clause["failures"])))):
            waiting.setdefault(primitive, []).append(name)
    for primitive, names in sorted(waiting.items(), key=lambda item: -len(item[1])):
        yield f"not written yet: {primitive}; clauses that wait for it: {named(names)}"


def canary_line(canaries: dict[str, Any]) -> str:
    results = canaries["results"]
    if canaries["switched_off"]:
        return "canaries: switched off"
    if {canary["result"] for canary in results.values()} == {"not run"}:
        return "canaries: not run"
    silent = [name for name, canary in results.items() if canary["result"] == "silent"]
    if silent:
        return f"NOT JUDGED: the tests do not notice a manager that {' or that '.join(silent)}"
    noticed = sum(canary["result"] == "noticed" for canary in results.values())
    others = (f"{name} {canary['result']}" for name, canary in results.items() if canary["result"] != "noticed")
    return "; ".join([f"canaries: {noticed} of {len(results)} noticed", *others])
