"""What the tests of one suite came to: closed-world, so a clause with no verdict is not run, never passed."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypedDict

from module_sdk_contract.catalogue import BINDING, CLAUSES
from module_sdk_contract.markers import CANARY_MARKER, FACTS
from module_sdk_contract.report.verdicts import WEIGHT, Verdict

CanaryResult = Literal["noticed", "silent", "crashed", "excused", "not run"]
CANARY_WEIGHT: list[CanaryResult] = ["not run", "excused", "noticed", "crashed", "silent"]
"""The heaviest result of a canary's tests is the canary's."""
MAXIMUM_FAILURES = 3
"""Kept for each clause."""


class Findings(TypedDict):
    """What one test tells, in plain JSON: pytest-xdist carries it from a worker."""

    verdicts: dict[str, str]
    reason: str
    """Why the verdict is neither passed nor failed; empty otherwise."""
    hook_missing: bool
    failures: dict[str, list[str]]
    calls: int
    """To the store, until the failure."""
    by_assertion: bool
    seconds: float
    refusal: str
    """Why the store did not open, if it has not yet."""
    suite: SuiteFindings


class SuiteFindings(TypedDict):
    """What every test of a suite tells alike."""

    id: str
    """The node id of its class."""
    joined: bool
    """It is the suite of `--task-manager-url`."""
    deviations: list[dict[str, str]]
    tests: int
    """How many the suite's run has, in this process's collection."""
    deselected: list[str]
    """Tests of the tier that were deselected, or not collected."""
    partly_run_clauses: list[str]
    """The clauses that some of those tests decide."""


@dataclasses.dataclass(slots=True)
class ClauseRecord:
    """What one clause's tests came to."""

    verdict: Verdict = Verdict.NOT_RUN
    seconds: float = 0.0
    tests: int = 0
    reasons: list[str] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    calls: int | None = None
    """To the store, on the shortest way to a failure."""
    hook_missing: bool = True
    """Whether a missing hook is all that keeps the clause unknown."""


class Ledger:
    """The records of one suite."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        """The node id of its class."""
        self.records: dict[str, ClauseRecord] = {}
        self.deviations: dict[str, dict[str, str]] = {}
        self.canaries: dict[str, dict[str, CanaryResult]] = {}
        """By name, then by test."""
        self.facts: dict[str, Any] = {}
        self.refusal = ""
        """Why the store has never opened, if it has not."""
        self.joined = False
        self.expected = 0
        self.deselected: list[str] = []
        self.partly_run_clauses: set[str] = set()
        self.decided: set[str] = set()
        """The tests that ended."""
        self.seconds = 0.0

    def take(self, kind: str, found: Any, test: str) -> None:
        """Add what a report tells: findings, the result of a canary's test, or facts about the store."""
        suite: SuiteFindings = found["suite"]
        self.deviations = {deviation["clause"]: deviation for deviation in suite["deviations"]}
        self.joined = suite["joined"]
        self.expected, self.deselected = suite["tests"], suite["deselected"]
        self.partly_run_clauses = set(suite["partly_run_clauses"])
        self.seconds += found.get("seconds", 0.0)
        self.refusal = found.get("refusal", "")
        if kind == FACTS:
            self.facts = found["facts"]
        elif kind == CANARY_MARKER:
            self.canaries.setdefault(found["canary"], {})[found["test"]] = found["result"]
        else:
            self.record(found, test)

    def record(self, findings: Findings, test: str) -> None:
        """Add what one test came to, by clause."""
        self.decided.add(test)
        for clause_id, text in findings["verdicts"].items():
            verdict = Verdict(text)
            record = self.records.setdefault(clause_id, ClauseRecord())
            record.verdict = max(verdict, record.verdict, key=WEIGHT.__getitem__)
            record.seconds += findings["seconds"]
            record.tests += 1
            if verdict is Verdict.UNKNOWN:
                record.hook_missing &= findings["hook_missing"]
            if findings["reason"] and findings["reason"] not in record.reasons:
                record.reasons.append(findings["reason"])
            if clause_id in findings["failures"]:
                record.calls = min(findings["calls"], findings["calls"] if record.calls is None else record.calls)
            told = findings["failures"].get(clause_id, [])
            record.failures += [text for text in told if text not in record.failures]
            del record.failures[MAXIMUM_FAILURES:]

    def verdict(self, clause_id: str) -> Verdict:
        return self.record_of(clause_id).verdict

    def record_of(self, clause_id: str) -> ClauseRecord:
        return self.records.get(clause_id, ClauseRecord())

    def canary(self, name: str) -> CanaryResult:
        return max(self.canaries.get(name, {"": "not run"}).values(), key=CANARY_WEIGHT.index)

    def needless_deviations(self) -> list[str]:
        """Clauses that are declared as deviations and pass: an error, since the declaration is no longer true.

        A clause of which a test was left out may well fail there.
        """
        decided = self.deviations.keys() - self.partly_run_clauses
        return sorted(clause_id for clause_id in decided if self.verdict(clause_id) is Verdict.PASSED)

    def blamed(self) -> list[str]:
        """The clauses that have failed, the likeliest cause first.

        That is the one with the shortest way to a failure: where a rule is broken, others fail that need it on theirs.
        """
        calls = {name: record.calls for name, record in self.records.items() if record.calls is not None}
        return sorted(filter(calls.__contains__, CLAUSES), key=calls.__getitem__)

    def clauses(self, verdict: Verdict) -> list[str]:
        return [clause.id for clause in BINDING if self.verdict(clause.id) is verdict]
