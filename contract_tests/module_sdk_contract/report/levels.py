"""The levels that a run can prove about a store, and the gaps below the next level. Only this module defines them."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

from module_sdk_contract.catalogue import CLAUSES, CONTRACT
from module_sdk_contract.report.results import Ledger
from module_sdk_contract.report.verdicts import Verdict


class Level(enum.StrEnum):
    """The levels, in rising order. Each includes the one before it."""

    PARTIAL = "PARTIAL"
    """Nothing is proved as a whole; the gaps say why."""
    CORE = "CORE"
    """Every test of the core tier ran, no clause failed, and the canaries were noticed. A clause that is unknown only
    because a hook is missing, and a declared deviation that has not expired, are shown and do not lower the level."""
    FULL = "FULL"
    """Also the deep tier, with its searches and faults, and no clause is unknown."""
    DURABLE = "DURABLE"
    """Also the clauses whose tests kill and restart, `durable` in `clauses.toml`, passed. A clause about servers may be
    not applicable if there is no server."""


MAXIMUM_NAMES: Final = 12
UNOPENED: Final = "the store does not open: "
"""The beginning of the gap that explains all others."""


def level_of(ledger: Ledger, canaries: list[str], tier: str) -> tuple[Level, dict[Level, list[str]]]:
    """Return the level that the run reached, and the gaps by level for those not reached."""
    unopened = [f"{UNOPENED}{ledger.refusal}"] if ledger.refusal and not ledger.facts else []
    steps = {
        Level.CORE: [*unopened, *canary_gaps(ledger, canaries), *core_gaps(ledger, tier)],
        Level.FULL: list(full_gaps(ledger, tier)),
        Level.DURABLE: list(durable_gaps(ledger)),
    }
    reached = Level.PARTIAL
    for level, gaps in steps.items():
        if gaps:
            break
        reached = level
    return reached, {level: gaps for level, gaps in steps.items() if gaps}


def canary_gaps(ledger: Ledger, canaries: list[str]) -> Iterator[str]:
    for result, text in (("silent", "silent: the run is not judged"), ("crashed", "crashed"), ("not run", "not run")):
        if found := [name for name in canaries if ledger.canary(name) == result]:
            yield f"canaries {text}: {named(found)}"


def core_gaps(ledger: Ledger, tier: str) -> Iterator[str]:
    if tier == "quick":
        yield "the quick tier runs a sample"
    for verdict in (Verdict.FAILED, Verdict.NOT_RUN):
        if clauses := ledger.clauses(verdict):
            yield f"clauses {verdict}: {named(clauses)}"
    skipped = [name for name in ledger.clauses(Verdict.UNKNOWN) if not ledger.record_of(name).hook_missing]
    if skipped:
        yield f"clauses unknown because tests were skipped: {named(skipped)}"
    if needless := ledger.needless_deviations():
        yield f"declared as deviations but passed: {named(needless)}"
    if ledger.deselected:
        yield f"{len(ledger.deselected)} tests left out, such as {ledger.deselected[0]}"
    if len(ledger.decided) < ledger.expected:
        yield f"the run ended after {len(ledger.decided)} of {ledger.expected} tests"


def full_gaps(ledger: Ledger, tier: str) -> Iterator[str]:
    if tier != "deep":
        yield "the deep tier was not run"
    if unknown := ledger.clauses(Verdict.UNKNOWN):
        yield f"clauses unknown: {named(unknown)}"


def durable_gaps(ledger: Ledger) -> Iterator[str]:
    for clause_id in CONTRACT.durable:
        verdict = ledger.verdict(clause_id)
        no_server = verdict is Verdict.NOT_APPLICABLE and "server" not in ledger.facts.get("capabilities", ["server"])
        if verdict is not Verdict.PASSED and not (no_server and CLAUSES[clause_id].capability == "server"):
            yield f"{clause_id} is {verdict}"


def named(names: list[str]) -> str:
    """Return the first names as text, and the number of the others."""
    more = f" and {len(names) - MAXIMUM_NAMES} more" if len(names) > MAXIMUM_NAMES else ""
    return f"{', '.join(names[:MAXIMUM_NAMES])}{more}"
