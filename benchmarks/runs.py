"""One run: the parts that are measured of a store, in their order."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Final

import module_sdk
from benchmarks.awake import cores_awake
from benchmarks.bounds import store_figures
from benchmarks.bulk import import_memory, import_speed
from benchmarks.callers import caller_findings
from benchmarks.large import lookup_memory
from benchmarks.lookups import lookup_cases
from benchmarks.measure import measure
from benchmarks.outages import failing_lookup, lag_on_a_slow_store
from benchmarks.processes import process_figures
from benchmarks.report import Findings
from benchmarks.stores import Filled, filled, started
from benchmarks.threads import thread_figures
from benchmarks.writes import write_cases

PARTS: Final = ("process", "lookups", "writes", "callers", "import", "memory", "threads")
CALLER_ROUNDS: Final = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """The options of the command."""

    sizes: tuple[int, ...]
    rounds: int
    parts: tuple[str, ...]
    load_seconds: float
    import_size: int


def run_process(plan: Plan) -> Findings:
    """Measure new processes, and stores that are slow or away."""
    figures = [*process_figures(), lag_on_a_slow_store()]
    timings, more = failing_lookup(plan.rounds)
    return {"store": "process", "versions": "", "timings": timings, "figures": figures + more}


def run_store(name: str, plan: Plan, announce: Callable[[str], object]) -> Findings:
    """Measure one store: its sizes side by side for lookups and writes, the largest for the other parts."""
    timings, figures = [], []
    with contextlib.ExitStack() as stack:
        stack.callback(module_sdk.reset)
        stack.enter_context(module_sdk.session(all_organizations=True))
        store = stack.enter_context(started(name))
        sets: list[Filled] = []
        for size in sorted(plan.sizes):
            announce(f"loading {size:,} tasks")
            sets.append(stack.enter_context(filled(store, size)))
        announce("timing lookups and writes")
        if "lookups" in plan.parts:
            with cores_awake():
                timings += measure([case for one in sets for case in lookup_cases(one)], plan.rounds)
        if "writes" in plan.parts:
            timings += measure([case for one in sets for case in write_cases(one)], plan.rounds)
        figures += store_figures(name, timings)
        if "callers" in plan.parts:
            announce("many callers at once")
            results, more = caller_findings(sets[-1], CALLER_ROUNDS)
            timings += results
            figures += more
        if "threads" in plan.parts:
            announce("many threads at once")
            figures += thread_figures(sets[-1], plan.load_seconds)
        if "import" in plan.parts:
            announce("importing")
            figures.append(import_speed(sets[-1]))
            if name != "memory":  # a store in memory keeps what it imports
                figures.append(import_memory(store, plan.import_size))
        if "memory" in plan.parts:
            announce("one large lookup")
            figures.append(lookup_memory(store))
        facts = sets[0].manager.diagnose().facts
    versions = ", ".join(facts[fact] for fact in ("server", "driver") if fact in facts)
    return {"store": name, "versions": versions, "timings": timings, "figures": figures}
