"""Verdicts, and declared deviations."""

from __future__ import annotations

import dataclasses
import datetime
import enum

import pytest

from module_sdk_contract.catalogue import CLAUSES


class Verdict(enum.StrEnum):
    """The verdicts, in falling order of weight. A clause has the heaviest verdict of its tests."""

    FAILED = "failed"
    DEVIATION = "deviation"
    UNKNOWN = "unknown"
    PASSED = "passed"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"


WEIGHT = {verdict: weight for weight, verdict in enumerate(reversed(Verdict))}


class NotApplicable(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """The manager does not declare the capability that the clause needs."""


class NotTried(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # as above
    """The store has never opened, so the clause has no verdict."""


class Unknown(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # as above
    """The suite does not define a hook that the clause needs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Deviation:
    """A declared exception to a clause. It is an error when it has expired or the clause passes.

    Raises `ValueError` for an unknown clause or an empty reason, and `TypeError` if `expires` is not a date.
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
            raise TypeError(f"the deviation of {self.clause} needs a datetime.date for `expires`, not {self.expires!r}")

    def holds(self) -> bool:
        """Return whether the deviation has not expired (in UTC)."""
        return datetime.datetime.now(datetime.UTC).date() <= self.expires

    def to_dict(self) -> dict[str, str]:
        return {"clause": self.clause, "reason": self.reason, "expires": self.expires.isoformat()}
