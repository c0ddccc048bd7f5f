"""Closed-world verdicts: every clause of the catalogue ends with one, and absence is not a pass."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping

import pytest

from module_sdk_contract.catalogue import BINDING


class Verdict(enum.StrEnum):
    """In falling order of weight: the heaviest verdict of a clause's tests is the clause's."""

    FAILED = "failed"
    DEVIATION = "deviation"
    UNKNOWN = "unknown"
    PASSED = "passed"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"


WEIGHT = {verdict: weight for weight, verdict in enumerate(reversed(Verdict))}


class NotApplicable(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """The manager does not declare the capability that the clause is about."""


class Unknown(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # as above
    """The suite gives no hook that the clause needs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Deviation:
    """A declared exception to a clause. Once it has expired, or the clause passes, it is an error."""

    clause: str
    reason: str
    expires: datetime.date

    def holds(self) -> bool:
        return datetime.datetime.now(datetime.UTC).date() <= self.expires


class Ledger:
    """The verdicts of one suite: what each clause's tests came to."""

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.declared: set[str] = set()

    def record(self, verdicts: Mapping[str, str], declared: Iterable[str]) -> None:
        """Add what one test came to, by clause, and which clauses its suite declares deviations of."""
        self.declared.update(declared)
        for clause_id, text in verdicts.items():
            verdict = Verdict(text)
            standing = self.verdicts.get(clause_id, Verdict.NOT_RUN)
            self.verdicts[clause_id] = max(verdict, standing, key=WEIGHT.__getitem__)

    def verdict(self, clause_id: str) -> Verdict:
        return self.verdicts.get(clause_id, Verdict.NOT_RUN)

    def needless_deviations(self) -> list[str]:
        """Clauses that are declared as deviations and pass: an error, since the declaration is no longer true."""
        return sorted(clause_id for clause_id in self.declared if self.verdict(clause_id) is Verdict.PASSED)

    def by_group(self) -> dict[str, collections.Counter[Verdict]]:
        """How many binding clauses of each group came to which verdict."""
        groups: dict[str, collections.Counter[Verdict]] = {}
        for clause in BINDING:
            groups.setdefault(clause.group, collections.Counter())[self.verdict(clause.id)] += 1
        return groups

    def clauses(self, verdict: Verdict) -> list[str]:
        return [clause.id for clause in BINDING if self.verdict(clause.id) is verdict]
