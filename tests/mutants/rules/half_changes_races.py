"""Mutants whose changes are not atomic, which only a reader between two steps can see."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from module_sdk_mongo.updates import guard, pipeline
from module_sdk_redis.schema import time_text
from module_sdk_sql.schema import PAYLOAD_COLUMNS

from module_sdk.backends import Change, Condition, Query, Sort, StoredRows, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant

PAUSE_SECONDS = 0.005


@mutant("t301", "the key is freed before the end", clause="DEDUP-08", race=True)
class KeyFreedBeforeTheEnd(MemoryMutant):
    """Frees the key, and ends the task 5 ms later."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if not change.ends or record is None or record.status not in change.allowed or record.active_key is None:
            return super().store_update(task_id, organization, change, deadline)
        key = (record.organization_id, record.active_key)
        with self.tables.lock:
            self.tables.active.pop(key, None)
        time.sleep(PAUSE_SECONDS)
        with self.tables.lock:
            holder = self.tables.active.get(key)
            row = super().store_update(task_id, organization, change, deadline)
            if holder is not None:
                self.tables.active[key] = holder
            return row


@mutant("t302", "an update removes the record and puts it back", clause="SEE-07", race=True)
class RemovesAndPutsBack(MemoryMutant):
    """Removes a record whose status stays, and puts it back changed 3 ms later. A lock keeps other writers out."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.writing = threading.RLock()

    def store_after_fork(self) -> None:
        super().store_after_fork()
        self.writing = threading.RLock()

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with self.writing:
            return super().store_create(record, deadline)

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with self.writing:
            with self.tables.lock:
                row = super().store_update(task_id, organization, change, deadline)
                if row is None or "status" in change.fields:
                    return row
                changed = self.tables.records.pop(task_id)
            time.sleep(0.003)
            with self.tables.lock:
                self.tables.records[task_id] = changed
            return row


@mutant("t303", "the time of the end is written after the end", clause="LIFE-07", race=True)
class EndTimeWrittenLater(MemoryMutant):
    """Writes status, result and error of an end, and 5 ms later its time. Both are written when the call returns."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if not change.ends:
            return super().store_update(task_id, organization, change, deadline)
        with self.tables.lock:
            row = super().store_update(task_id, organization, change, deadline)
            if row is None:
                return None
            ended = self.tables.records[task_id]
            self.replace(ended, finished_at=None)
        time.sleep(PAUSE_SECONDS)
        with self.tables.lock:
            # A prune may have removed it meanwhile.
            if task_id in self.tables.records:
                self.replace(ended)
            return row


@mutant("t304", "a new task is listed after it holds its key", clause="DEDUP-07", race=True)
class ListedAfterItHolds(MemoryMutant):
    """Lists a new task 5 ms after it has taken its key; `get` finds it at once."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.unlisted: set[str] = set()

    def scoped(self, organization: str) -> list[TaskRecord]:
        return [record for record in super().scoped(organization) if record.id not in self.unlisted]

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with self.tables.lock:
            is_new = record.id not in self.tables.records
            stored = super().store_create(record, deadline)
            if not is_new or stored.id != record.id:
                return stored
            self.unlisted.add(record.id)
        time.sleep(PAUSE_SECONDS)
        self.unlisted.discard(record.id)
        return stored


@mutant("t305", "an index entry is moved in two steps", clause="SEE-07", race=True)
class EntryMovedInTwoSteps(RedisMutant):
    """Removes a task from the order of pages, and 5 ms later changes it and puts it back there."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or record.status not in change.allowed:
            return super().store_update(task_id, organization, change, deadline)
        entry = f"{time_text(record.updated_at)}{task_id}"
        pages = (self.layout.pages(record.organization_id), self.layout.pages(None))
        for index in pages:
            self.router.read("ZREM", index, entry, deadline=deadline)
        time.sleep(PAUSE_SECONDS)
        row = super().store_update(task_id, organization, change, deadline)
        if row is None:
            now = self.store_get(task_id, organization, deadline)
            for index in pages if now is not None and now.updated_at == record.updated_at else ():
                self.router.read("ZADD", index, "0", entry, deadline=deadline)
        return row


@mutant("t306", "active and ended tasks are read in two queries", clause="SEE-07", race=True)
class ReadInTwoQueries(SQLMutant):
    """Reads the ended tasks of a key, and 5 ms later the active ones. It misses a task that ends in between."""

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        found = super().store_find_by_key(organization, key, None, deadline)
        ended = [row for row in found if row is None or row[3] in statuses.FINAL]
        time.sleep(PAUSE_SECONDS)
        found = super().store_find_by_key(organization, key, None, deadline)
        rows = ended + [row for row in found if row is not None and row[3] in statuses.ACTIVE]
        return sorted(rows, key=lambda row: (row[8], row[0]) if row else (0, ""), reverse=True)[:limit]


@mutant("t307", "prune removes payloads first", clause="LIFE-02", race=True)
class PayloadsPrunedFirst(SQLMutant):
    """Removes the payloads of old tasks in one transaction, and the tasks themselves 5 ms later in another."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        conditions = [Condition("status", "any_of", tuple(statuses.FINAL)), Condition("updated_at", "below", before)]
        if user is not None:
            conditions.append(Condition("user_id", "any_of", (user,)))
        query, order = Query(organization, tuple(conditions)), Sort("updated_at", False)
        old = [row[0] for row in self.store_page(query, order, 0, batch_size, deadline) if row]
        clearing = self.statements.clear_payloads(tuple(sorted(PAYLOAD_COLUMNS)))
        with self.pool.transaction(deadline) as connection:
            for task_id in old:
                connection.execute(clearing.sql, clearing.bind({"id": task_id}), deadline)
        time.sleep(PAUSE_SECONDS)
        return super().store_prune(before, organization, user, batch_size, deadline)


@mutant("t308", "the key is freed after the end is visible", clause="DEDUP-08", race=True)
class KeyFreedInASecondUpdate(MongoMutant):
    """Ends a task, and frees its key 5 ms later, before the call returns."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if not change.ends:
            return super().store_update(task_id, organization, change, deadline)
        planned = pipeline(change, keeps_server_time=self.keeps_server_time)
        for stage in planned:
            stage.get("$project", {}).pop("active_key", None)
        stages = [stage for stage in planned if any(stage.values())]
        tasks = self.connection.tasks
        with self.checked_within(deadline):
            found = tasks.update_one(guard(task_id, organization, change), stages)
            if not found.matched_count:
                return None
            time.sleep(PAUSE_SECONDS)
            tasks.update_one({"_id": task_id}, {"$unset": {"active_key": 1}})
        ended = self.store_get(task_id, None, deadline)
        return ended and ended.row()
