"""Mutants whose pages and counts come from an index that some kind of change does not update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from module_sdk_memory.filters import sort_key

from module_sdk.backends import Change, Query, Sort, StoredRows, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.rules.retention import ChangedPrune
from tests.mutants.stores.memory import ChangedSelection, ChangedSort, MemoryMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLStatementMutant


class LaggingIndex(ChangedSelection, ChangedSort):
    """A store that filters and sorts some fields by an older record, which only the changes in `moves` update."""

    filtered: ClassVar[frozenset[str]] = frozenset()
    sorted: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.indexed: dict[str, TaskRecord] = vars(self.tables).setdefault("indexed", {})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        raise NotImplementedError

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with self.tables.lock:
            before = self.tables.records.get(task_id)
            row = super().store_update(task_id, organization, change, deadline)
            if row is not None and before is not None:
                seen = self.tables.records[task_id] if self.moves(before, change) else before
                if seen is not before or task_id not in self.indexed:
                    self.indexed[task_id] = seen
        return row

    def as_indexed(self, record: TaskRecord, field: str, fields: frozenset[str]) -> TaskRecord:
        return self.indexed.get(record.id, record) if field in fields else record

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        seen = self.as_indexed(record, condition.field, self.filtered)
        return bool(condition.matches(getattr(seen, condition.field)))

    def key(self, record: TaskRecord, sort: Sort) -> Any:
        return sort_key(self.as_indexed(record, sort.field, self.sorted), sort)


@mutant("t221", "an answered question does not move the index of statuses", clause="MODEL-02")
class StatusNotMovedByAnswers(LaggingIndex):
    filtered = frozenset({"status"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return not (before.status == statuses.WAITING_CONFIRMATION and change.fields.get("status") == statuses.RUNNING)


@mutant("t222", "the index of labels keeps the first ones", clause="MODEL-02")
class LabelsAtFirst(LaggingIndex):
    filtered = frozenset({"label"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return False


@mutant("t223", "only changes of status move the order by progress", clause="ORDER-09")
class ProgressMovedByStatus(LaggingIndex):
    sorted = frozenset({"progress"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return "status" in change.fields


@mutant("t224", "a checkpoint does not move the order of changes", clause="MODEL-09")
class OrderNotMovedByCheckpoints(LaggingIndex):
    sorted = frozenset({"updated_at"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return bool(change.fields.keys() - {"checkpoint"})


@mutant("t225", "a question does not move the order of changes", clause="MODEL-09")
class OrderNotMovedByQuestions(LaggingIndex):
    sorted = frozenset({"updated_at"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return change.fields.get("status") != statuses.WAITING_CONFIRMATION


@mutant("t228", "labels do not move the ranges of updates", clause="MODEL-06")
class RangesNotMovedByLabels(LaggingIndex):
    filtered = frozenset({"updated_at"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return "label" not in change.fields


@mutant("t230", "counters of statuses miss ends of pending tasks", clause="MODEL-07")
class CountersMissEndsOfPending(LaggingIndex):
    """Counts by status come from counters that miss ends of pending tasks. Pages are right."""

    filtered = frozenset({"status"})
    is_counting = False

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return not (before.status == statuses.PENDING and change.ends)

    def as_indexed(self, record: TaskRecord, field: str, fields: frozenset[str]) -> TaskRecord:
        return super().as_indexed(record, field, fields) if self.is_counting else record

    def store_count(self, query: Query, deadline: float) -> int:
        with self.tables.lock:
            self.is_counting = True
            try:
                return super().store_count(query, deadline)
            finally:
                self.is_counting = False


@mutant("t231", "ending many at once does not move the index of statuses", clause="MODEL-02")
class StatusNotMovedByEndingMany(LaggingIndex):
    filtered = frozenset({"status"})
    is_many = False

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return not self.is_many

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        with self.tables.lock:
            self.is_many = True
            try:
                return super().store_update_many(task_ids, organization, change, deadline)
            finally:
                self.is_many = False


@mutant("t232", "a failure does not move the order of changes", clause="MODEL-09")
class OrderNotMovedByFailures(LaggingIndex):
    sorted = frozenset({"updated_at"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return change.fields.get("status") != statuses.FAILED


@mutant("t233", "a filter of labels sees those of the last change of status", clause="MODEL-02")
class TextSearchMovedByStatus(LaggingIndex):
    """A search index of labels, which only a change of status updates."""

    filtered = frozenset({"label"})

    def moves(self, before: TaskRecord, change: Change) -> bool:
        return "status" in change.fields


@mutant("t226", "prune by finished_at", clause="KEEP-01")
class PruneByEnd(ChangedPrune):
    """Prunes by `finished_at`, which may differ from the `updated_at` of an imported task."""

    def is_old(self, record: TaskRecord, before: int) -> bool:
        finished = record.updated_at if record.finished_at is None else record.finished_at
        return record.status in statuses.FINAL and finished < before


@mutant("t234", "prune spares ended tasks without finished_at", clause="KEEP-01")
class PruneSparesUnfinished(ChangedPrune):
    """Looks for ended tasks by `finished_at`, which an imported task may lack."""

    def is_old(self, record: TaskRecord, before: int) -> bool:
        return super().is_old(record, before) and record.finished_at is not None


@mutant("t227", "prune by finished_at in SQLite", clause="KEEP-01")
class PruneByEndInSQLite(SQLStatementMutant):
    replacements = (("AND updated_at < :before", "AND finished_at < :before"),)


@mutant("t229", "progress does not move the order of all organizations in Redis", clause="MODEL-09")
class AllMovedBySomeInRedis(RedisMutant):
    """A report of progress, the most frequent change, moves only the index of its organization."""

    replacements = (
        (
            "redis.call('ZREM', all, old)\nredis.call('ZADD', all, 0, new)",
            "if keys then\n  redis.call('ZREM', all, old)\n  redis.call('ZADD', all, 0, new)\nend",
        ),
    )


@mutant("t235", "lookups return rows from before the last checkpoint", clause="SEE-01")
class RowsNotMovedByCheckpoints(MemoryMutant):
    """Lookups return copies of rows, which a change of payloads alone does not update."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.copies: dict[str, TaskRecord] = vars(self.tables).setdefault("copies", {})

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with self.tables.lock:
            before = self.tables.records.get(task_id)
            row = super().store_update(task_id, organization, change, deadline)
            if row is not None and before is not None:
                if change.fields.keys() <= {"checkpoint", "result"}:
                    self.copies.setdefault(task_id, before)
                else:
                    self.copies.pop(task_id, None)
        return row

    def answer(self, found: Any, limit: int | None) -> StoredRows:
        return super().answer((self.copies.get(record.id, record) for record in found), limit)
