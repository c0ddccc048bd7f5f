"""Verdicts, and the declared exceptions to them."""

from __future__ import annotations

import dataclasses
import datetime
import enum

import pytest

from module_sdk_contract.catalogue import CLAUSES


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


class NotTried(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # as above
    """The store has never opened, so the clause has no verdict."""


class Unknown(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # as above
    """The suite gives no hook that the clause needs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Deviation:
    """A declared exception to a clause. Once it has expired, or the clause passes, it is an error.

    Raises `ValueError` for an id that no clause has or an empty reason, and `TypeError` for an expiry that is no date.
    """

    clause: str
    reason: str
    expires: datetime.date

    def __post_init__(self) -> None:
        if self.clause not in CLAUSES:
            raise ValueError(f"the contract has no clause {self.clause!r}")
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ValueError(f"the deviation of {self.clause} needs a reason")
        if type(self.expires) is not datetime.date:
            raise TypeError(f"the deviation of {self.clause} expires on a datetime.date, not {self.expires!r}")

    def holds(self) -> bool:
        return datetime.datetime.now(datetime.UTC).date() <= self.expires

    def to_dict(self) -> dict[str, str]:
        return {"clause": self.clause, "reason": self.reason, "expires": self.expires.isoformat()}
