"""`python -m benchmarks.choices`: a table of both sides of each decision."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from benchmarks.choices import indexes, records
from benchmarks.machine import describe_machine
from benchmarks.measure import Case, Result, measure
from benchmarks.report import markdown, number
from benchmarks.stores import RunningStore, started

CHOICES: Final[dict[str, Callable[[RunningStore, int, Any], list[Case]]]] = {
    "sqlite": indexes.index_cases,
    "redis": records.record_cases,
}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


@app.command()
def compare(
    size: Annotated[list[int], typer.Option(min=1_000, help="Tasks in a store; repeat for more.")] = [1_000, 100_000],  # noqa: B006  # never changed
    store: Annotated[list[str], typer.Option(help=f"One of {', '.join(CHOICES)}; repeat for more.")] = [*CHOICES],  # noqa: B006  # the same
    rounds: Annotated[int, typer.Option(min=1, help="How often each thing is timed.")] = 15,
    output: Annotated[Path, typer.Option(help="The folder of choices.json and choices.md.")] = Path(
        "benchmark-results"
    ),
) -> None:
    """Time both sides of each decision in one run."""
    stated, lines = [], []
    for name in store:
        for one in size:
            with console.status(f"{name} with {one:,} tasks"):
                results = measured(name, one, rounds, CHOICES[name])
            sides = tuple(results[0].timings)
            head = ("what", "tasks", *(f"{side}, µs" for side in sides), "second over first")
            lines += [*markdown(head, (row(result, sides) for result in results)), ""]
            stated += [{"store": name, **result.to_dict()} for result in results]
    output.mkdir(parents=True, exist_ok=True)
    (output / "choices.json").write_text(json.dumps({"machine": describe_machine(), "results": stated}, indent=1))
    (output / "choices.md").write_text("\n".join(lines))
    print("\n".join(lines))


def measured(
    store: str, size: int, rounds: int, cases_of: Callable[[RunningStore, int, Any], list[Case]]
) -> list[Result]:
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(started(store))
        return measure(cases_of(place, size, stack), rounds)


def row(result: Result, names: tuple[str, ...]) -> tuple[str, ...]:
    first, second = names
    medians = (number(result.timings[name].median) for name in names)
    return result.labels["choice"], f"{result.labels['size']:,}", *medians, f"{result.ratio(second, first):.2f}"


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.choices")
