"""One run: which parts are measured of a store, and in what order."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, Final

import module_sdk
from benchmarks import bounds
from benchmarks.awake import cores_awake
from benchmarks.bulk import import_memory, import_speed
from benchmarks.callers import caller_findings
from benchmarks.figures import Findings
from benchmarks.large import lookup_memory
from benchmarks.lookups import lookup_cases
from benchmarks.measure import measure
from benchmarks.outages import failing_lookup, lag_on_a_slow_store
from benchmarks.processes import process_figures
from benchmarks.stores import Filled, RunningStore, filled, started
from benchmarks.threads import thread_figures
from benchmarks.writes import write_cases

PARTS: Final = ("process", "lookups", "writes", "callers", "import", "memory", "threads")
CALLER_ROUNDS: Final = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the options of the command ask for."""

    sizes: tuple[int, ...]
    rounds: int
    parts: tuple[str, ...]
    load_seconds: float
    import_size: int

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def run_process(plan: Plan) -> Findings:
    """What concerns no store: new processes, and stores that are slow or away."""
    findings = Findings("process", figures=process_figures())
    findings.figures.append(lag_on_a_slow_store())
    results, figures = failing_lookup(plan.rounds)
    findings.timings += results
    findings.figures += figures
    return findings


def run_store(store: str, plan: Plan, tell: Callable[[str], object]) -> Findings:
    """Everything of one store: its sizes side by side for lookups and writes, the largest for the rest."""
    findings = Findings(store)
    tell("starting")
    with contextlib.ExitStack() as stack:
        stack.callback(module_sdk.reset)
        stack.enter_context(module_sdk.session(all_organizations=True))
        place = stack.enter_context(started(store))
        sets: list[Filled] = []
        for size in sorted(plan.sizes):
            tell(f"loading {size:,} tasks")
            sets.append(stack.enter_context(filled(place, size)))
            findings.load_seconds[size] = sets[-1].load_seconds
        findings.versions = version_of(sets[0])
        tell("timing lookups and writes")
        if "lookups" in plan.parts:
            with cores_awake():
                findings.timings += measure([case for one in sets for case in lookup_cases(one)], plan.rounds)
        if "writes" in plan.parts:
            findings.timings += measure([case for one in sets for case in write_cases(one)], plan.rounds)
        findings.figures += bounds.ratios(store, findings.timings)
        run_others(place, sets[-1], plan, findings, tell)
    return findings


def run_others(
    place: RunningStore, largest: Filled, plan: Plan, findings: Findings, tell: Callable[[str], object]
) -> None:
    if "callers" in plan.parts:
        tell("many callers at once")
        results, figures = caller_findings(largest, CALLER_ROUNDS)
        findings.timings += results
        findings.figures += figures
    if "threads" in plan.parts:
        tell("many threads at once")
        findings.figures += thread_figures(largest, plan.load_seconds)
    if "import" in plan.parts:
        tell("importing")
        findings.figures.append(import_speed(largest))
        if place.store != "memory":  # which keeps what it imports
            findings.figures += import_memory(place, plan.import_size)
    if "memory" in plan.parts:
        tell("one large lookup")
        findings.figures.append(lookup_memory(place))


def version_of(one: Filled) -> str:
    facts = one.manager.diagnose().facts
    return ", ".join(facts[name] for name in ("server", "driver") if name in facts)
