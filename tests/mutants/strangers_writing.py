"""Bugs that a stranger put into a store in memory: creates, imports, updates and prunes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from module_sdk.backends import Change, Query, TaskConflictError, TaskRecord
from tests.mutants.bases import MemoryMutant
from tests.mutants.writing import ChangedPrune

OPTIONAL: Final = (
    "started_at", "finished_at", "checkpoint", "result", "error", "confirmation", "function", "arguments",
)  # fmt: skip

# --- Creates ----------------------------------------------------------------------------------------------------------


class HolderBeforeId(MemoryMutant):
    """Looks for the holder of the key before it looks for the id."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with self.tables.lock:
            return self.holder(record) or super().store_create(record, deadline)


class RemembersFirst(MemoryMutant):
    """Keeps each record as it was created."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.first: dict[str, TaskRecord] = {}

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        if standing is record:
            self.first[record.id] = record
        return standing


class StaleHolder(RemembersFirst):
    """Gives the loser of a key the holder as it was created, as an index of records would."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        return standing if standing.id == record.id else self.first.get(standing.id, standing)


class RepeatGivesFirst(RemembersFirst):
    """Gives a repeated create the record as it was created, as a cache of answers would."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        return self.first.get(record.id, standing)


# --- Imports ----------------------------------------------------------------------------------------------------------


class ImportHolderBeforeId(MemoryMutant):
    """Refuses a record that is there already where another holds its key by now."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written = 0
        for record in records:
            holder = self.holder(record)
            if holder is not None and holder.id != record.id:
                raise TaskConflictError("the key is held")
            written += super().store_import([record], deadline)
        return written


class ImportChecksUpFront(MemoryMutant):
    """Asks who holds the keys of a batch before it writes any of it, and no more while it does."""

    pause_seconds = 0.0

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        new: dict[str, TaskRecord] = {}
        is_refused = False
        for record in records:
            if record.id in self.tables.records or record.id in new:
                continue
            is_refused = self.holder(record) is not None
            if is_refused:
                break
            new[record.id] = record
        time.sleep(self.pause_seconds)
        with self.tables.lock:
            for record in new.values():
                self.tables.put(record)
        if is_refused:
            raise TaskConflictError("the key is held")
        return len(new)


class ImportCheckThenInsert(ImportChecksUpFront):
    """Looks who holds the keys of a batch, and writes it 5 ms later."""

    pause_seconds = 0.005


class ImportColumnsOfFirst(MemoryMutant):
    """Inserts a batch with the optional columns that its first record has."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        lacking: dict[str, Any] = {name: None for name in OPTIONAL if getattr(records[0], name) is None}
        return super().store_import([record._replace(**lacking) for record in records], deadline)


class ImportNotIndexedByStatus(MemoryMutant):
    """Serves filters of the status from an index that imports do not write."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.indexed: set[str] = set()

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        if standing is record:
            self.indexed.add(record.id)
        return standing

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and "status" in change.fields:
            self.indexed.add(task_id)
        return row

    def select(self, query: Query) -> Any:
        found = super().select(query)
        by_status = any(condition.field == "status" for condition in query.conditions)
        return (record for record in found if record.id in self.indexed) if by_status else found


# --- Updates ----------------------------------------------------------------------------------------------------------


class RowReadAfterUpdate(MemoryMutant):
    """Reads the row that an update made 3 ms after it."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if super().store_update(task_id, organization, change, deadline) is None:
            return None
        time.sleep(0.003)
        return self.tables.records[task_id].row()


# --- Prunes -----------------------------------------------------------------------------------------------------------


class PruneLimitBeforeScope(ChangedPrune):
    """Takes a batch of old ended tasks, and of those the ones of the organization and the user."""

    def batch(self, before: int, organization: str | None, user: str | None, batch_size: int) -> list[TaskRecord]:
        ended = [record for record in self.tables.records.values() if self.is_old(record, before)]
        return [r for r in longest_unchanged(ended, batch_size) if self.is_meant(r, organization, user)]


class PruneLimitBeforeStatus(ChangedPrune):
    """Takes a batch of old tasks, and of those the ones that have ended."""

    def batch(self, before: int, organization: str | None, user: str | None, batch_size: int) -> list[TaskRecord]:
        meant = [record for record in self.tables.records.values() if self.is_meant(record, organization, user)]
        return [r for r in longest_unchanged(meant, batch_size) if self.is_old(r, before)]


class PruneUserAsPrefix(ChangedPrune):
    def is_meant(self, record: TaskRecord, organization: str | None, user: str | None) -> bool:
        return super().is_meant(record, organization, None) and record.user_id.startswith(user or "")


class PruneCountsSelected(ChangedPrune):
    """Selects tasks, removes them 2 ms later, and says how many it selected."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        with self.tables.lock:
            old = self.batch(before, organization, user, batch_size)
        time.sleep(0.002)
        with self.tables.lock:
            for record in old:
                if record.id in self.tables.records:
                    self.remove(record)
        return len(old)


class GetCachedPastPrune(MemoryMutant):
    """A cache of records by id, which updates empty and prunes do not."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.cached: dict[str, TaskRecord] = {}

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = self.cached.get(task_id) or self.tables.records.get(task_id)
        if record is None or organization not in (None, record.organization_id):
            return None
        self.cached[task_id] = record
        return record

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        self.cached.pop(task_id, None)
        row = super().store_update(task_id, organization, change, deadline)
        self.cached.pop(task_id, None)
        return row


def longest_unchanged(records: list[TaskRecord], count: int) -> list[TaskRecord]:
    return sorted(records, key=lambda record: record.updated_at)[:count]
