"""`python -m benchmarks`: measure the stores against hand-written driver code, and write a report."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks import report
from benchmarks.machine import describe_machine
from benchmarks.runs import PARTS, Plan, run_process, run_store
from benchmarks.stores import STORES

DEFAULT_SIZES: Final = (1_000, 100_000)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def check_names(names: list[str], known: tuple[str, ...]) -> list[str]:
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name} is none of {', '.join(known)}")
    return names


@app.command()
def measure(  # noqa: PLR0917  # typer calls it by name
    store: Annotated[list[str], typer.Option(help=f"One of {', '.join(STORES)}; repeat for more.")] = [*STORES],  # noqa: B006  # never modified
    size: Annotated[
        list[int], typer.Option(min=1_000, help="Tasks in a store, a multiple of eight; 1000000 takes minutes to load.")
    ] = [*DEFAULT_SIZES],  # noqa: B006  # the same
    rounds: Annotated[int, typer.Option(min=1, help="How many batches of each operation are timed.")] = 15,
    part: Annotated[list[str], typer.Option(help=f"One of {', '.join(PARTS)}; repeat for more.")] = [*PARTS],  # noqa: B006  # the same
    load_seconds: Annotated[float, typer.Option(min=0.5, help="How long each side is under load by 32 threads.")] = 10,
    import_size: Annotated[int, typer.Option(min=1_000, help="Tasks in the measured import.")] = 100_000,
    output: Annotated[Path, typer.Option(help="The folder of results.json, report.md and latency.svg.")] = Path(
        "benchmark-results"
    ),
) -> None:
    """Time every store and its hand-written reference, interleaved in one run. Compare the ratios, not the times."""
    logging.getLogger("module_sdk").setLevel(logging.ERROR)
    plan = Plan(tuple(size), rounds, tuple(check_names(part, PARTS)), load_seconds, import_size)
    machine = describe_machine()
    findings = []
    for name in (["process"] if "process" in plan.parts else []) + check_names(store, STORES):
        announce = functools.partial(print, f"{name}:", file=sys.stderr)
        announce("starting")
        findings.append(run_process(plan) if name == "process" else run_store(name, plan, announce))
        print("\n".join(report.section(findings[-1])))
    machine["load_average_at_the_end"] = describe_machine()["load_average"]
    output.mkdir(parents=True, exist_ok=True)
    results = {"machine": machine, "plan": dataclasses.asdict(plan), "findings": findings}
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    report.write(results, output)
    print(f"written to {output}", file=sys.stderr)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
