"""Mutants that break a rule only for a task that came into its state by one of several ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from module_sdk.backends import Change, StoredRow, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedUpdates, MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant, SQLStatementMutant


class ChangedStates(MemoryMutant):
    """Stores that do something more after a change that went in, with the record from before it."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        before = self.tables.records.get(task_id)
        row = super().store_update(task_id, organization, change, deadline)
        return row if row is None or before is None else self.moved(before, change) or row

    def moved(self, before: TaskRecord, change: Change) -> StoredRow | None:
        """The row, if it is another now."""
        raise NotImplementedError

    def hold_again(self, before: TaskRecord) -> None:
        if before.active_key is not None:
            self.tables.active[before.organization_id, before.active_key] = before.id


class KeepsImports(MemoryMutant):
    """Stores that know which records were imported."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.imported: set[str] = set()

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        fresh = {record.id for record in records if record.id not in self.tables.records}
        written = super().store_import(records, deadline)
        self.imported |= fresh
        return written


@mutant("t101", "a task that ends while it waits keeps its key", clause="DEDUP-02")
class WaitingEndHolds(ChangedStates):
    """The end of a task looks for its entry among those of running tasks."""

    def moved(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.ends and before.status == statuses.WAITING_CONFIRMATION:
            self.hold_again(before)
        return None


@mutant("t102", "a task that went on after a question keeps its key", clause="DEDUP-02")
class ResumedEndHolds(ChangedStates):
    """Frees the key of a task that has started once; the end of one that was resumed finds no entry of it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.resumed: set[str] = set()

    def moved(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.starts and before.status == statuses.WAITING_CONFIRMATION:
            self.resumed.add(before.id)
        if change.ends and before.id in self.resumed:
            self.hold_again(before)
        return None


@mutant("t103", "the end of an imported task frees no key", clause="DEDUP-02")
class ImportedEndHolds(KeepsImports):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        before = self.tables.records.get(task_id)
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and before is not None and change.ends and task_id in self.imported and before.active_key:
            self.tables.active[before.organization_id, before.active_key] = task_id
        return row


@mutant("t104", "an imported task that had ended holds its key", clause="DEDUP-02")
class ImportedEndedHolds(MemoryMutant):
    """The import enters each record that has a key among the holders, where the key is free."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written = super().store_import(records, deadline)
        for record in records:
            if record.task_key is not None and record.id in self.tables.records:
                self.tables.active.setdefault((record.organization_id, record.task_key), record.id)
        return written


@mutant("t105", "a task that never started gets no end", clause="LIFE-07")
class UnstartedNeverFinishes(ChangedStates):
    def moved(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.ends and before.started_at is None:
            return self.replace(self.tables.records[before.id], finished_at=None)
        return None


@mutant("t106", "an answered task starts again where it was imported", clause="LIFE-07")
class ImportedStartsAgain(KeepsImports):
    """Remembers which tasks have started; an import is not among them."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and change.starts and task_id in self.imported:
            record = self.tables.records[task_id]
            return self.replace(record, started_at=record.updated_at)
        return row


@mutant("t107", "an answered task moves to the head of its lists", clause="ORDER-06")
class ResumedMovesUp(ChangedStates):
    """Puts a task that goes on into the lists again, at the time when it did."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.entered: dict[str, int] = {}

    def moved(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.starts and before.status == statuses.WAITING_CONFIRMATION:
            self.entered[before.id] = self.tables.records[before.id].updated_at
        return None

    def rank(self, record: TaskRecord) -> Any:
        return (self.entered.get(record.id, record.created_at), record.id)


@mutant("t108", "a question stays where a waiting task is ended", clause="LIFE-08")
class QuestionStays(ChangedUpdates):
    """Clears the question when the task goes on, and not when it ends."""

    def planned(self, record: TaskRecord, change: Change) -> Change:
        if not (change.ends and record.status == statuses.WAITING_CONFIRMATION):
            return change
        return change._replace(fields={k: v for k, v in change.fields.items() if k != "confirmation"})


@mutant("t109", "a waiting task takes no progress", clause="LIFE-08")
class WaitingTakesNoProgress(ChangedUpdates):
    """Reports of progress are for running tasks, it thinks."""

    def planned(self, record: TaskRecord, change: Change) -> Change:
        if "status" in change.fields or record.status != statuses.WAITING_CONFIRMATION:
            return change
        return change._replace(fields={k: v for k, v in change.fields.items() if k != "progress"})


@mutant("t110", "only tasks that ended here are pruned", clause="KEEP-01")
class PrunesOwnEndsOnly(KeepsImports):
    """An index of ended tasks is written when a record comes in, and not when an imported one ends later."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        hidden = {
            task_id: record
            for task_id, record in self.tables.records.items()
            if task_id in self.imported and record.started_at is not None and record.status == statuses.FAILED
        }
        with self.tables.lock:
            for task_id in hidden:
                del self.tables.records[task_id]
            try:
                return super().store_prune(before, organization, user, batch_size, deadline)
            finally:
                self.tables.records.update(hidden)


@mutant("t111", "a task that is interrupted with many keeps its key", clause="LIFE-11")
class ManyKeepTheirKeys(MemoryMutant):
    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        before = [self.tables.records.get(task_id) for task_id in task_ids]
        changed = super().store_update_many(task_ids, organization, change, deadline)
        for record in before:
            if record is not None and record.active_key is not None and record.status != statuses.RUNNING:
                self.tables.active[record.organization_id, record.active_key] = record.id
        return changed


@mutant("t112", "the key of a task that never started stays in SQLite", clause="DEDUP-02")
class UnstartedKeepsItsKey(SQLStatementMutant):
    replacements = (
        ("active_key = NULL", "active_key = CASE WHEN started_at IS NULL AND progress > 0 THEN active_key END"),
    )


@mutant("t113", "a waiting task's end keeps its key in Redis", clause="DEDUP-02")
class WaitingEndHoldsInRedis(RedisMutant):
    replacements = (
        (
            "if record.key ~= '' and redis.call('GET'",
            "if record.key ~= '' and record.status ~= 'waiting_confirmation' and redis.call('GET'",
        ),
    )


@mutant("t114", "a task that ends while it waits keeps its key in MongoDB", clause="DEDUP-02")
class WaitingEndHoldsInMongo(MongoMutant):
    """Writes the ended task anew with the key it held, as a copy of the document that was read does."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        read = self.connection.tasks.find_one({"_id": task_id}) if change.ends else None
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and read and read["status"] == statuses.WAITING_CONFIRMATION and "active_key" in read:
            self.connection.tasks.update_one({"_id": task_id}, {"$set": {"active_key": read["active_key"]}})
        return row


@mutant("t115", "an end from an import without payloads loses its error", clause="LIFE-08")
class ImportedEndLosesError(SQLMutant):
    """The payloads of a task that ends are updated where a row of them is there already."""

    def write_payloads(self, connection: Any, task_id: str, payloads: dict[str, Any], deadline: float) -> None:
        found = connection.fetch(f"SELECT 1 FROM {self.tables.payloads_name} WHERE id = ?", [task_id], deadline)
        waits = connection.fetch(f"SELECT status FROM {self.tables.tasks_name} WHERE id = ?", [task_id], deadline)
        if found or waits[0][0] != statuses.INTERRUPTED:
            super().write_payloads(connection, task_id, payloads, deadline)
