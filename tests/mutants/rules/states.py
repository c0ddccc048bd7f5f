"""Mutants that break a rule only for a task that reached its status in a certain way."""

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
    """A store that calls `after_change` after each successful change, with the record from before it."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        before = self.tables.records.get(task_id)
        row = super().store_update(task_id, organization, change, deadline)
        return row if row is None or before is None else self.after_change(before, change) or row

    def after_change(self, before: TaskRecord, change: Change) -> StoredRow | None:
        """Return the new row if this method changed it, else `None`."""
        raise NotImplementedError

    def give_key_back(self, before: TaskRecord) -> None:
        if before.active_key is not None:
            self.tables.active[before.organization_id, before.active_key] = before.id


class RemembersImports(MemoryMutant):
    """A store that remembers which records were imported."""

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
    """Does not free the key of a task that ends while it waits for a confirmation."""

    def after_change(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.ends and before.status == statuses.WAITING_CONFIRMATION:
            self.give_key_back(before)
        return None


@mutant("t102", "a task that was resumed after a question keeps its key", clause="DEDUP-02")
class ResumedEndHolds(ChangedStates):
    """Does not free the key of a task that was resumed after a confirmation."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.resumed: set[str] = set()

    def after_change(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.starts and before.status == statuses.WAITING_CONFIRMATION:
            self.resumed.add(before.id)
        if change.ends and before.id in self.resumed:
            self.give_key_back(before)
        return None


@mutant("t103", "the end of an imported task frees no key", clause="DEDUP-02")
class ImportedEndHolds(RemembersImports):
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
    """An import makes each record with a free key its holder, whatever its status is."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written = super().store_import(records, deadline)
        for record in records:
            if record.task_key is not None and record.id in self.tables.records:
                self.tables.active.setdefault((record.organization_id, record.task_key), record.id)
        return written


@mutant("t105", "a task that never started gets no finished_at", clause="LIFE-07")
class UnstartedNeverFinishes(ChangedStates):
    def after_change(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.ends and before.started_at is None:
            return self.replace(self.tables.records[before.id], finished_at=None)
        return None


@mutant("t106", "an imported task that is answered gets a new started_at", clause="LIFE-07")
class ImportedStartsAgain(RemembersImports):
    """Sets `started_at` again when an imported task is resumed."""

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
    """Sorts a resumed task by the time when it was resumed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.entered: dict[str, int] = {}

    def after_change(self, before: TaskRecord, change: Change) -> StoredRow | None:
        if change.starts and before.status == statuses.WAITING_CONFIRMATION:
            self.entered[before.id] = self.tables.records[before.id].updated_at
        return None

    def rank(self, record: TaskRecord) -> Any:
        return (self.entered.get(record.id, record.created_at), record.id)


@mutant("t108", "the question of a waiting task stays after its end", clause="LIFE-08")
class QuestionStays(ChangedUpdates):
    """Clears the question when the task is resumed, but not when it ends."""

    def planned(self, record: TaskRecord, change: Change) -> Change:
        if not (change.ends and record.status == statuses.WAITING_CONFIRMATION):
            return change
        return change._replace(fields={k: v for k, v in change.fields.items() if k != "confirmation"})


@mutant("t109", "a waiting task takes no progress", clause="LIFE-08")
class WaitingTakesNoProgress(ChangedUpdates):
    """Ignores the progress of tasks that are not running."""

    def planned(self, record: TaskRecord, change: Change) -> Change:
        if "status" in change.fields or record.status != statuses.WAITING_CONFIRMATION:
            return change
        return change._replace(fields={k: v for k, v in change.fields.items() if k != "progress"})


@mutant("t110", "only tasks that ended here are pruned", clause="KEEP-01")
class PrunesOwnEndsOnly(RemembersImports):
    """Prunes by an index of ended tasks, which the later end of an imported task does not update."""

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


@mutant("t111", "interrupting many keeps the keys of waiting and pending tasks", clause="LIFE-11")
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
    """Writes the key back after the end, as a write of the whole document that was read would."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        read = self.connection.tasks.find_one({"_id": task_id}) if change.ends else None
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and read and read["status"] == statuses.WAITING_CONFIRMATION and "active_key" in read:
            self.connection.tasks.update_one({"_id": task_id}, {"$set": {"active_key": read["active_key"]}})
        return row


@mutant("t115", "a task without payloads loses the error of its interruption", clause="LIFE-08")
class ImportedEndLosesError(SQLMutant):
    """Writes the payloads of an interrupted task only if it has a row of payloads already."""

    def write_payloads(self, connection: Any, task_id: str, payloads: dict[str, Any], deadline: float) -> None:
        found = connection.fetch(f"SELECT 1 FROM {self.tables.payloads_name} WHERE id = ?", [task_id], deadline)
        waits = connection.fetch(f"SELECT status FROM {self.tables.tasks_name} WHERE id = ?", [task_id], deadline)
        if found or waits[0][0] != statuses.INTERRUPTED:
            super().write_payloads(connection, task_id, payloads, deadline)
