"""The report as Markdown, for code hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def markdown(report: dict[str, Any]) -> str:
    return "\n".join(lines(report)) + "\n"


def lines(report: dict[str, Any]) -> Iterator[str]:
    contract, plugin = report["contract"], report.get("plugin", {})
    yield f"# {report['level']}: contract {contract['version']} of {report.get('url', report['suite'])}"
    yield ""
    if not report["judged"]:
        yield "**Not judged**: a canary is silent, so this run proves nothing."
        yield ""
    for level, gaps in report["gaps"].items():
        yield f"What {level} lacks:"
        yield ""
        yield from (f"- {escaped(gap)}" for gap in gaps)
        yield ""
    yield from table(
        ("", ""),
        [
            ("contract", f"{contract['version']}, digest `{contract['digest']}`"),
            ("plugin", f"{plugin.get('name')} {plugin.get('version') or '(not installed)'}"),
            ("manager", f"`{report.get('manager')}`"),
            *report.get("versions", {}).items(),
            *report.get("facts", {}).items(),
            ("capabilities", ", ".join(report.get("capabilities", ())) or "none"),
            ("tier, seed", f"{report['tier']}, {report['seed']}"),
            ("ended", f"{report['ended_at']}, {report['tests']['run']} tests in {report['seconds']:.0f} s"),
            ("again", f"`{report['reproduce']}`"),
        ],
    )
    yield from (f"- warning: {escaped(warning)}" for warning in report.get("warnings", ()))
    yield ""
    yield "## Verdicts"
    yield ""
    yield ", ".join(f"{verdict}: {count}" for verdict, count in report["totals"].items())
    yield ""
    yield from table(
        ("clause", "verdict", "seconds", "rule"),
        (
            (name, verdict_text(clause), f"{clause['seconds']:.2f}", clause["rule"])
            for name, clause in report["clauses"].items()
        ),
    )
    if report["deviations"]:
        yield "## Declared deviations"
        yield ""
        yield from table(
            ("clause", "reason", "expires", "verdict"),
            ((d["clause"], d["reason"], d["expires"], d["verdict"]) for d in report["deviations"]),
        )
    yield "## Canaries"
    yield ""
    if report["canaries"]["switched_off"]:
        yield "Switched off."
        yield ""
    yield from table(
        ("a manager that", "result", "by"),
        (
            (name, canary["result"], ", ".join(canary["tests"]))
            for name, canary in report["canaries"]["results"].items()
        ),
    )
    if report["blamed"]:
        yield "## Failures"
        yield ""
        yield "The likeliest cause comes first: the clause that fails after the fewest calls to the store."
        for name in report["blamed"]:
            for failure in report["clauses"][name]["failures"]:
                yield f"\n{name}\n\n```text\n{failure}\n```"


def verdict_text(clause: dict[str, Any]) -> str:
    provisional = " (provisional)" if clause["provisional"] else ""
    reasons = f": {'; '.join(clause['reasons'])}" if clause["verdict"] != "passed" and clause["reasons"] else ""
    return f"{clause['verdict']}{provisional}{reasons}"


def table(heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(escaped(value) for value in row)} |"
    yield ""


def escaped(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
