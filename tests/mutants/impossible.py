"""Stores that show or count unreadable records wrongly (FAIL-10); their numbers begin at i1 and never change."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from module_sdk.backends import StoredRows, TaskManager, TaskRecord, statuses
from module_sdk.rows import LookupResult, row_from_stored
from tests.mutants.bases import MemoryMutant

Find = Callable[..., StoredRows]


class ChangesWhatItReads(MemoryMutant):
    """A good store in memory, whose lookups can change a record on the way."""

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer(map(self.repaired, found), limit)

    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record


class ProgressClamped(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record._replace(progress=min(max(record.progress, 0.0), 1.0))


class UnknownStatusFailed(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record if record.status in statuses.STATUSES else record._replace(status=statuses.FAILED)


class TimesPutInOrder(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record._replace(updated_at=max(record.created_at, record.updated_at))


class EmptyModuleNamed(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record._replace(module=record.module or "unknown")


class UnreadableLeftOut(MemoryMutant):
    """Passes over what cannot be read, and says nothing of it."""

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer([record for record in found if is_readable(record)], limit)


class SkippedOfTheOrganization(MemoryMutant):
    """Counts every unreadable record of the organization, whatever the question."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        answer = super().find(primitive, arguments, limit, timeout_seconds)
        return LookupResult(answer, skipped=self.unreadable(arguments[0]))

    def unreadable(self, organization: str) -> int:
        return sum(not is_readable(record) for record in self.scoped(organization))


class SkippedOfTheStore(SkippedOfTheOrganization):
    def unreadable(self, organization: str) -> int:
        return sum(not is_readable(record) for record in self.tables.records.values())


def is_readable(record: TaskRecord) -> bool:
    with contextlib.suppress(ValueError):
        row_from_stored(record.row())
        return True
    return False


ROWS: Final[tuple[tuple[str, type[TaskManager], str], ...]] = (
    ("progress is clamped when it is read", ProgressClamped, "FAIL-10"),
    ("an unknown status is read as failed", UnknownStatusFailed, "FAIL-10"),
    ("times out of order are put in order", TimesPutInOrder, "FAIL-10"),
    ("a missing module is given a name", EmptyModuleNamed, "FAIL-10"),
    ("unreadable records are left out silently", UnreadableLeftOut, "FAIL-10"),
    ("unreadable records of the organization are counted", SkippedOfTheOrganization, "FAIL-10"),
    ("unreadable records of the store are counted", SkippedOfTheStore, "FAIL-10"),
)
