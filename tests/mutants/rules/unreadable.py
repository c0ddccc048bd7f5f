"""Mutants that return or count unreadable records wrongly (FAIL-10)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from module_sdk.backends import StoredRows, TaskRecord, statuses
from module_sdk.domain.rows import LookupResult, row_from_stored
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant

Find = Callable[..., StoredRows]


class ChangesWhatItReads(MemoryMutant):
    """A correct store in memory, whose lookups pass each record through `repaired`."""

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer(map(self.repaired, found), limit)

    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record


@mutant("i1", "progress is clamped when it is read", clause="FAIL-10")
class ProgressClamped(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record._replace(progress=min(max(record.progress, 0.0), 1.0))


@mutant("i2", "an unknown status is read as failed", clause="FAIL-10")
class UnknownStatusFailed(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record if record.status in statuses.STATUSES else record._replace(status=statuses.FAILED)


@mutant("i3", "times out of order are put in order", clause="FAIL-10")
class TimesPutInOrder(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record._replace(updated_at=max(record.created_at, record.updated_at))


@mutant("i4", "a missing module is given a name", clause="FAIL-10")
class EmptyModuleNamed(ChangesWhatItReads):
    def repaired(self, record: TaskRecord) -> TaskRecord:
        return record._replace(module=record.module or "unknown")


@mutant("i5", "unreadable records are left out silently", clause="FAIL-10")
class UnreadableLeftOut(MemoryMutant):
    """Skips unreadable records without counting them."""

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer([record for record in found if is_readable(record)], limit)


@mutant("i6", "unreadable records of the organization are counted", clause="FAIL-10")
class SkippedOfTheOrganization(MemoryMutant):
    """Counts every unreadable record of the organization in each lookup."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        answer = super().find(primitive, arguments, limit, timeout_seconds)
        return LookupResult(answer, skipped=self.unreadable(arguments[0]))

    def unreadable(self, organization: str) -> int:
        return sum(not is_readable(record) for record in self.scoped(organization))


@mutant("i7", "unreadable records of the store are counted", clause="FAIL-10")
class SkippedOfTheStore(SkippedOfTheOrganization):
    def unreadable(self, organization: str) -> int:
        return sum(not is_readable(record) for record in self.tables.records.values())


def is_readable(record: TaskRecord) -> bool:
    with contextlib.suppress(ValueError):
        row_from_stored(record.row())
        return True
    return False
