"""Mutants of the rules of one active task per key."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any
from unittest import mock

from module_sdk_mongo import manager
from module_sdk_mongo.records import document_of
from module_sdk_redis import scripts
from module_sdk_redis.manager import import_chunks
from module_sdk_sql.records import column_values, has_payloads, present_values

from module_sdk.backends import Task, TaskConflictError, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import ChangedConnections, SQLMutant, SQLStatementMutant
from tests.mutants.stores.wire import OverTheWire


def with_nulls(record: TaskRecord) -> dict[str, Any]:
    return {**document_of(record), "active_key": record.active_key}


class KeyHeldAfter(MemoryMutant):
    """A store that does not free the key at one kind of end."""

    ending = statuses.FAILED

    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            same = (other.organization_id, other.task_key) == (record.organization_id, record.active_key)
            if same and record.active_key is not None and (other.active_key or other.status == self.ending):
                return other
        return None


class RemembersFirst(MemoryMutant):
    """A store that keeps a copy of each record as it was created."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.first: dict[str, TaskRecord] = {}

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        if stored is record:
            self.first[record.id] = record
        return stored


@mutant("41", "dedup over finished tasks too", clause="DEDUP-02")
class HeldByEnded(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            same = (other.organization_id, other.task_key) == (record.organization_id, record.active_key)
            if same and record.active_key is not None:
                return other
        return None


@mutant("43", "failed does not free the key", clause="DEDUP-02")
class FailedHolds(KeyHeldAfter):
    ending = statuses.FAILED


@mutant("44", "waiting_confirmation does not hold the key", clause="DEDUP-02")
class WaitingDoesNotHold(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        holder = super().holder(record)
        return None if holder is not None and holder.status == statuses.WAITING_CONFIRMATION else holder


@mutant("45", "loser receives an id that does not exist", clause="DEDUP-07")
class LoserGetsAnUnknownId(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        return stored if stored.id == record.id else stored._replace(id=str(uuid.uuid4()))


@mutant("r37", "an interrupted task still blocks its key", clause="DEDUP-02")
@mutant("x34", "an interrupted holder keeps its key", clause="DEDUP-10")
class InterruptedHolds(KeyHeldAfter):
    ending = statuses.INTERRUPTED


@mutant("r38", "a pending task does not block its key", clause="DEDUP-02")
class PendingDoesNotHold(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        holder = super().holder(record)
        return None if holder is not None and holder.status == statuses.PENDING else holder


@mutant("r39", "tasks without a key merge", clause="DEDUP-03")
class UnkeyedMerge(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            same = (other.organization_id, other.active_key) == (record.organization_id, record.active_key)
            if same and other.status in statuses.ACTIVE and record.status in statuses.ACTIVE:
                return other
        return None


@mutant("r41", "merged submit overwrites the holder", clause="DEDUP-01")
class MergeOverwrites(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        if stored.id != record.id:
            self.replace(stored, checkpoint=record.checkpoint, label=record.label)
        return stored


@mutant("x4", "an import skips held keys", clause="DEDUP-09")
class ImportIgnoresHeldKeys(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        fresh = [record for record in records if self.holder(record) is None]
        return super().store_import(fresh, deadline)


@mutant("x33", "similar keys block each other", clause="DEDUP-04")
class HeldByLookAlikes(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            if None in (record.active_key, other.active_key) or other.organization_id != record.organization_id:
                continue
            if str(other.active_key).strip().casefold() == str(record.active_key).strip().casefold():
                return other
        return None


@mutant("x36", "a repeated create is reported as merged", clause="DEDUP-11")
class SameIdIsALoss(MemoryMutant):
    def create(self, task: Task, **kwargs: Any) -> tuple[Task, bool]:
        known = task.id in self.tables.records
        holder, created = super().create(task, **kwargs)
        return holder, created and not known


@mutant("x88", "keys held per user", clause="DEDUP-01")
class HeldPerUser(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        holder = super().holder(record)
        return holder if holder is not None and holder.user_id == record.user_id else None


@mutant("x89", "a merged submit touches the holder", clause="DEDUP-01")
class MergeTouchesTheHolder(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        if stored.id != record.id:
            self.replace(stored, updated_at=max(stored.updated_at + 1, record.created_at))
        return stored


@mutant("x90", "an import overwrites existing records", clause="DEDUP-09")
class ImportOverwrites(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        for record in records:
            known = self.tables.records.get(record.id)
            if known is not None:
                self.tables.records[record.id] = record
        return super().store_import(records, deadline)


@mutant("x91", "an import counts records that it skipped", clause="DEDUP-09")
class ImportCountsAll(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        super().store_import(records, deadline)
        return len(records)


@mutant("x92", "an import continues after a held key", clause="DEDUP-09")
class ImportGoesOn(MemoryMutant):
    """Writes the records after a held key, too, and then raises."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written, refused = 0, None
        for record in records:
            try:
                written += super().store_import([record], deadline)
            except TaskConflictError as error:
                refused = error
        if refused is not None:
            raise refused
        return written


@mutant("x93", "an imported task does not hold its key", clause="DEDUP-09")
class ImportHoldsNothing(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written = super().store_import(records, deadline)
        for record in records:
            if self.tables.active.get((record.organization_id, record.active_key or "")) == record.id:
                del self.tables.active[record.organization_id, record.active_key or ""]
        return written


@mutant("x154", "a create repeated after a lost reply is reported as merged", clause="DEDUP-11")
class LostReplyIsAMerge(OverTheWire):
    """Reports a create as merged into another task if an earlier try, whose reply was lost, has written it."""

    def create(self, task: Any, *, timeout_seconds: float | None = None) -> Any:
        known = task.id in self.tables.records
        holder, created = super().create(task, timeout_seconds=timeout_seconds)
        return holder, created and not known


@mutant("x171", "an import replaces existing records in SQLite", clause="DEDUP-09")
class ImportReplaces(SQLStatementMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        for record in records:
            self.pool.execute(f"DELETE FROM {self.tables.tasks_name} WHERE id = ?", [record.id], deadline)
            self.pool.execute(f"DELETE FROM {self.tables.payloads_name} WHERE id = ?", [record.id], deadline)
        return super().store_import(records, deadline)


@mutant("x172", "INSERT OR IGNORE", clause="DEDUP-09")
class ImportSkipsHeldKeys(SQLStatementMutant):
    """`INSERT OR IGNORE`, which skips a record silently if another task holds its key."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        return sum(self.insert(record, deadline, as_given=True) is not None for record in records)


@mutant("x191", "an ended task keeps its key in Redis", clause="DEDUP-02")
class EndKeepsTheKeyInRedis(RedisMutant):
    replacements = (("redis.call('DEL', keys.active)", "redis.call('EXISTS', keys.active)"),)


@mutant("x198", "null for an absent key in MongoDB", clause="DEDUP-03")
class NullsInMongo(MongoMutant):
    """Writes absent fields as null, which the unique index takes for a key."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with mock.patch.object(manager, "document_of", with_nulls):
            return super().store_create(record, deadline)


@mutant("s1", "a create looks for the holder before the id", clause="DEDUP-11")
class HolderBeforeId(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with self.tables.lock:
            return self.holder(record) or super().store_create(record, deadline)


@mutant("s2", "an import looks for the holder before the id", clause="DEDUP-09")
class ImportHolderBeforeId(MemoryMutant):
    """Refuses an existing record if another task holds its key by now."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written = 0
        for record in records:
            holder = self.holder(record)
            if holder is not None and holder.id != record.id:
                raise TaskConflictError("the key is held")
            written += super().store_import([record], deadline)
        return written


@mutant("s3", "an import looks for holders once, before it writes", clause="DEDUP-09")
class ImportChecksUpFront(MemoryMutant):
    """Looks for the holders of the keys before it writes a batch, and not again while it writes."""

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


@mutant("s4", "the loser receives the holder as it was created", clause="DEDUP-01")
class StaleHolder(RemembersFirst):
    """Returns the holder of a key as it was created, as an index of records would."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        return stored if stored.id == record.id else self.first.get(stored.id, stored)


@mutant("s5", "a repeated create receives the task as it was created", clause="DEDUP-11")
class RepeatReturnsFirst(RemembersFirst):
    """Returns the record as it was created to a repeated create, as a cache of answers would."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        return self.first.get(record.id, stored)


@mutant("s23", "an import by check then insert", clause="DEDUP-09")
class ImportCheckThenInsert(ImportChecksUpFront):
    """Looks for the holders of the keys of a batch, and writes it 5 ms later."""

    pause_seconds = 0.005


@mutant("s33", "the loser of a key leaves its payloads", clause="DEDUP-02")
class LoserLeavesPayloads(SQLMutant):
    """Writes the payloads before the task, and commits them although the key was held."""

    def insert(self, record: TaskRecord, deadline: float, **how: bool) -> TaskRecord | None:
        if not has_payloads(record):
            return super().insert(record, deadline, **how)
        values = present_values(record)
        statement, payloads = self.statements.insert_unless_existing(tuple(values)), self.statements.insert_payloads()
        with self.pool.transaction(deadline) as connection:
            if connection.fetch(f"SELECT 1 FROM {self.tables.tasks_name} WHERE id = ?", [record.id], deadline):
                return None
            connection.execute(payloads.sql, payloads.bind(column_values(record)), deadline)
            return record if connection.execute(statement.sql, statement.bind(values), deadline) == 1 else None


@mutant("s34", "an import that meets a held key loses payloads", clause="DEDUP-09")
class ImportFallbackLosesPayloads(SQLMutant):
    """If a key of a batch is held, the records before it are written without their payloads."""

    is_importing = False

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        self.is_importing = True
        try:
            return super().store_import(records, deadline)
        finally:
            self.is_importing = False

    def insert(self, record: TaskRecord, deadline: float, **how: bool) -> TaskRecord | None:
        bare: dict[str, Any] = dict.fromkeys(("checkpoint", "result", "error", "confirmation", "function", "arguments"))
        return super().insert(record._replace(**bare) if self.is_importing else record, deadline, **how)


@mutant("s42", "a rollback forgotten", clause="DEDUP-09")
class RollbackForgotten(ChangedConnections):
    """Leaves the transaction of a failed import open on its connection."""

    def changed(self, connection: Any) -> Any:
        connection.recover = lambda error: True
        return connection


@mutant("s50", "an import continues with the next chunk after a held key", clause="DEDUP-09")
class ImportGoesOnWithTheNextChunk(RedisMutant):
    """An import that meets a held key ends that chunk, writes the next chunks, and then raises."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written, held = 0, b""
        for first, arguments in import_chunks(records):
            keys = (self.layout.record(first.id),)
            went_in, refused = self.router.run(scripts.IMPORT, keys, (self.layout.prefix, *arguments), deadline)
            written += went_in
            held = held or refused
        if held:
            raise TaskConflictError(f"the key of the active task {held.decode()} is held by another task")
        return written
