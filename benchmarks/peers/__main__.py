"""`python -m benchmarks.peers`: other systems compared with ours, on the same store with the same tasks, in one run."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import logging
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

import module_sdk
from benchmarks.data import Dataset
from benchmarks.lookups import ARGUMENTS_SEED, draw
from benchmarks.machine import describe_machine
from benchmarks.measure import Case, Result, Variant, figure, measure, ratio
from benchmarks.peers.base import Peer, Question
from benchmarks.report import markdown, number
from benchmarks.stores import LOAD_SECONDS, started
from module_sdk import tasks
from module_sdk.facade.managers import open_manager

PEERS: Final = {
    "dbos": ("dbos_client", "DBOS"),
    "dagster": ("dagster_runs", "Dagster"),
    "procrastinate": ("procrastinate_jobs", "Procrastinate"),
    "rq": ("rq_jobs", "RQ"),
}
FOUND: Final = 10
# A batch of a peer's calls takes at most this long, or is one call.
BATCH_SECONDS: Final = 0.1
MAXIMUM_CALLS: Final = 20
# A peer's scan must take at least this many times as long as our lookup, and its indexed call this many times.
SCAN_TIMES: Final = 50.0
INDEX_TIMES: Final = 3.0
HEAD: Final = ("peer", "store", "call", "median, µs", "ours, µs", "times", "bound", "met")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare(
    peer: Annotated[list[str], typer.Option(help=f"One of {', '.join(PEERS)}; repeat for more.")] = [*PEERS],  # noqa: B006  # never modified
    size: Annotated[int, typer.Option(min=1_000, help="Tasks in each store.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="How many batches of each call are timed.")] = 10,
    output: Annotated[Path, typer.Option(help="The folder of peers.json and peers.md.")] = Path("benchmark-results"),
) -> None:
    """Look up ten tasks with each peer, and the same ten with ours."""
    logging.disable(logging.WARNING)
    results: list[dict[str, Any]] = []
    for name in peer:
        module, title = PEERS[name]
        kind: type[Peer] = getattr(importlib.import_module(f"benchmarks.peers.{module}"), title)
        for store in kind.stores:
            results += [{"peer": kind.title, "store": store, **one} for one in measured(kind, store, size, rounds)]
    table = markdown(HEAD, map(row, results))
    print("\n".join(table))
    output.mkdir(parents=True, exist_ok=True)
    stated = {"machine": describe_machine(), "size": size, "results": results}
    (output / "peers.json").write_text(json.dumps(stated, indent=1) + "\n")
    (output / "peers.md").write_text("\n".join(table))


def measured(kind: type[Peer], store: str, size: int, rounds: int) -> Iterator[dict[str, Any]]:
    dataset = Dataset(size)
    with contextlib.ExitStack() as stack:
        # Two databases: a peer creates its own schema and must not find ours.
        ours, theirs = (stack.enter_context(started(store)) for _ in range(2))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="module-sdk-benchmark-"))
        manager = open_manager(ours.url)
        stack.callback(manager.close)
        manager.import_tasks(dataset.tasks(), timeout_seconds=LOAD_SECONDS)
        module_sdk.configure(manager=manager)
        stack.callback(module_sdk.reset)
        peer = kind(theirs.url, folder)
        stack.callback(peer.close)
        peer.load(dataset.tasks())
        questions = peer.questions()
        cases = [case_of(question, dataset) for question in questions]
        for question, result in zip(questions, measure(cases, rounds), strict=True):
            yield stated(question, result)


def case_of(question: Question, dataset: Dataset) -> Case:
    arguments = dataset.arguments(question.lookup, FOUND)
    rng = random.Random(ARGUMENTS_SEED)
    began = time.perf_counter()
    (one,) = draw(rng, arguments, 1)
    found = question.ask(*one)
    seconds = time.perf_counter() - began
    if len(found) != FOUND:
        raise RuntimeError(f"{question.call} found {len(found)} tasks, not {FOUND}")
    batch = max(1, min(MAXIMUM_CALLS, int(BATCH_SECONDS / seconds)))
    variants = (Variant("peer", question.ask), Variant("facade", getattr(tasks, question.lookup)))
    return Case({}, variants, functools.partial(draw, rng, arguments), batch, warm_up_calls=min(batch, 3))


def stated(question: Question, result: Result) -> dict[str, Any]:
    least = INDEX_TIMES if question.is_indexed else SCAN_TIMES
    compared = figure(question.call, ratio(result, "peer", "facade"), "times", at_least=least)
    return {**compared, **result}


def row(one: dict[str, Any]) -> tuple[str, ...]:
    peer, facade = (one["microseconds"][name]["median"] for name in ("peer", "facade"))
    met = "yes" if one["met"] else "no"
    return one["peer"], one["store"], one["name"], number(peer), number(facade), number(one["value"]), one["bound"], met


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.peers")
