"""Mutants of the rules of one active task per key, whose bugs show only when two calls overlap."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from module_sdk_mongo.connection import within
from module_sdk_mongo.records import document_of
from module_sdk_sql.queries import Statement, Statements
from pymongo.errors import BulkWriteError

from module_sdk.backends import Change, TaskConflictError, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant


class InsertsLater(Statements):
    def insert(self) -> Statement:
        time.sleep(0.005)
        return super().insert()


@mutant("40", "dedup by check then insert", clause="DEDUP-05", race=True)
class CheckThenInsert(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        existing = self.tables.records.get(record.id) or self.holder(record)
        if existing is None:
            time.sleep(0.005)
            with self.tables.lock:
                self.tables.put(record)
        return existing or record


@mutant("x35", "the key is freed after the acknowledgement", clause="DEDUP-08", race=True)
class KeyFreedLater(MemoryMutant):
    """Frees the key of an ended task 5 ms after the end was acknowledged."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.freed_at: dict[tuple[str, str | None], tuple[float, TaskRecord]] = {}

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and change.ends:
            record = self.tables.records[task_id]
            self.freed_at[record.organization_id, record.task_key] = (time.monotonic() + 0.005, record)
        return row

    def holder(self, record: TaskRecord) -> TaskRecord | None:
        until, ended = self.freed_at.get((record.organization_id, record.active_key), (0.0, None))
        return ended if time.monotonic() < until else super().holder(record)


@mutant("x41", "check then insert between processes", clause="DEDUP-06", race=True)
class CheckThenInsertInSQL(SQLMutant):
    """Looks for a holder of the key; if there is none, it inserts 5 ms later a record that holds no key."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        rows = [] if record.active_key is None else self.find_active(record, deadline)
        if rows:
            existing = self.store_get(rows[0], None, deadline)
            return existing or record
        time.sleep(0.005)
        super().store_create(record._replace(active_key=None), deadline)
        return record

    def find_active(self, record: TaskRecord, deadline: float) -> list[str]:
        found = self.store_find_by_key(record.organization_id, record.task_key or "", None, deadline)
        return [row[0] for row in found if row and row[3] in statuses.ACTIVE]


@mutant("x192", "check then insert in Redis", clause="DEDUP-05", race=True)
class CheckThenInsertInRedis(RedisMutant):
    """Looks for the holder of the key, waits 5 ms, and writes a record that takes the key from any holder."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        if record.active_key is None:
            return super().store_create(record, deadline)
        size = len(record.organization_id.encode())
        active = f"{self.layout.prefix}a:{size}:{record.organization_id}:{record.active_key}"
        holder = self.router.read("GET", active, deadline=deadline)
        existing = None if holder is None else self.store_get(holder.decode(), None, deadline)
        if existing is not None:
            return existing
        time.sleep(0.005)
        self.router.read("DEL", active, deadline=deadline)
        return super().store_create(record, deadline)


@mutant("x201", "check then insert in MongoDB", clause="DEDUP-05", race=True)
class CheckThenInsertInMongo(MongoMutant):
    """Looks for a holder, waits 5 ms, and inserts a document that holds no key."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        held = {"organization_id": record.organization_id, "task_key": record.task_key}
        active = {"status": {"$in": ["pending", "running", "waiting_confirmation"]}}
        tasks = self.connection.tasks
        holder = None if record.active_key is None else tasks.find_one({**held, **active})
        if holder is not None:
            existing = self.store_get(holder["_id"], None, deadline)
            return existing or record
        time.sleep(0.005)
        super().store_create(record._replace(active_key=None), deadline)
        return record


@mutant("s32", "an import in a deferred transaction", clause="DEDUP-09", race=True)
class ImportDeferred(SQLMutant):
    """Begins an import as a reader, and writes 5 ms later."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        self.statements = InsertsLater(self.dialect, self.tables)
        # All other transactions begin with a write.
        vars(self.dialect)["begin"] = "BEGIN DEFERRED"


@mutant("s51", "an import takes any duplicate for a held key", clause="DEDUP-09", race=True)
class RacingImportRefused(MongoMutant):
    """Takes any duplicate for a held key, even a task that another import has just written."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        tasks = self.connection.tasks
        wanted: dict[str, TaskRecord] = {}
        for record in records:
            wanted.setdefault(record.id, record)
        with within(deadline):
            existing = {document["_id"] for document in tasks.find({"_id": {"$in": list(wanted)}}, {"_id": 1})}
            remaining = [document_of(record) for task_id, record in wanted.items() if task_id not in existing]
            try:
                return len(tasks.insert_many(remaining).inserted_ids) if remaining else 0
            except BulkWriteError as error:
                raise TaskConflictError("the key of an active task is held by another task") from error
