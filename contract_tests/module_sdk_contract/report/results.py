"""The results of the tests of one suite. A clause without a verdict is not run, never passed."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypedDict

from module_sdk_contract.catalogue import BINDING, CLAUSES
from module_sdk_contract.markers import CANARY_MARKER, FACTS
from module_sdk_contract.report.verdicts import WEIGHT, Verdict

CanaryResult = Literal["noticed", "silent", "crashed", "excused", "not run"]
CANARY_WEIGHT: list[CanaryResult] = ["not run", "excused", "noticed", "crashed", "silent"]
"""Results by rising weight. A canary has the heaviest result of its tests."""
MAXIMUM_FAILURES = 3
"""The number of failures kept per clause."""


class Findings(TypedDict):
    """The findings of one test, as plain JSON that pytest-xdist sends from its workers."""

    verdicts: dict[str, str]
    reason: str
    """Why the verdict is neither passed nor failed; empty otherwise."""
    hook_missing: bool
    failures: dict[str, list[str]]
    calls: int
    """The number of calls to the store before the test ended."""
    by_assertion: bool
    seconds: float
    refusal: str
    """The last error with which the store did not open; empty if there was none."""
    suite: SuiteFindings


class SuiteFindings(TypedDict):
    """The part of the findings that is the same in all tests of a suite."""

    id: str
    """The node id of its class."""
    joined: bool
    """Whether it is the suite of `--task-manager-url`."""
    deviations: list[dict[str, str]]
    tests: int
    """The number of the suite's tests that this process collected and selected."""
    deselected: list[str]
    """The tests of the tier that were deselected or not collected."""
    partly_run_clauses: list[str]
    """The clauses with tests that were left out, including those outside the sample of the quick tier."""


@dataclasses.dataclass(slots=True)
class ClauseRecord:
    """The results of one clause's tests."""

    verdict: Verdict = Verdict.NOT_RUN
    seconds: float = 0.0
    tests: int = 0
    reasons: list[str] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    calls: int | None = None
    """The fewest calls to the store before a failure."""
    hook_missing: bool = True
    """Whether missing hooks are the only reason why the clause is unknown."""


class Ledger:
    """The records of one suite."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        """The node id of its class."""
        self.records: dict[str, ClauseRecord] = {}
        self.deviations: dict[str, dict[str, str]] = {}
        self.canaries: dict[str, dict[str, CanaryResult]] = {}
        """Results by name of the canary, then by test."""
        self.facts: dict[str, Any] = {}
        self.refusal = ""
        """The last error with which the store did not open; empty if there was none."""
        self.joined = False
        self.expected = 0
        self.deselected: list[str] = []
        self.partly_run_clauses: set[str] = set()
        self.decided: set[str] = set()
        """The tests that have ended."""
        self.seconds = 0.0

    def take(self, kind: str, found: Any, test: str) -> None:
        """Add the property of a test report: findings, the result of a canary's test, or facts about the store."""
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
        """Add the findings of one test to the records of its clauses."""
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
            texts = findings["failures"].get(clause_id, [])
            record.failures += [text for text in texts if text not in record.failures]
            del record.failures[MAXIMUM_FAILURES:]

    def verdict(self, clause_id: str) -> Verdict:
        return self.record_of(clause_id).verdict

    def record_of(self, clause_id: str) -> ClauseRecord:
        return self.records.get(clause_id, ClauseRecord())

    def canary(self, name: str) -> CanaryResult:
        return max(self.canaries.get(name, {"": "not run"}).values(), key=CANARY_WEIGHT.index)

    def needless_deviations(self) -> list[str]:
        """Return the clauses that are declared as deviations and pass, which is an error of the suite.

        A clause is not among them if one of its tests was left out, because it may fail there.
        """
        decided = self.deviations.keys() - self.partly_run_clauses
        return sorted(clause_id for clause_id in decided if self.verdict(clause_id) is Verdict.PASSED)

    def blamed(self) -> list[str]:
        """Return the clauses that have failed, the likeliest cause first.

        The likeliest cause is the clause that failed after the fewest calls. Other clauses that rely on the broken rule
        usually fail after more calls.
        """
        calls = {name: record.calls for name, record in self.records.items() if record.calls is not None}
        return sorted(filter(calls.__contains__, CLAUSES), key=calls.__getitem__)

    def clauses(self, verdict: Verdict) -> list[str]:
        """Return the ids of the binding clauses with that verdict."""
        return [clause.id for clause in BINDING if self.verdict(clause.id) is verdict]
