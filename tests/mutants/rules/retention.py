"""Mutants of the rules about retention."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from module_sdk_memory.manager import Tables
from module_sdk_redis import scripts
from module_sdk_redis.scripts import Script

from module_sdk.backends import Change, StoredRows, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.redis import ChangedCalls, RedisMutant
from tests.mutants.stores.sql import ChangedConnections, SQLStatementMutant


def longest_unchanged(records: list[TaskRecord], count: int) -> list[TaskRecord]:
    return sorted(records, key=lambda record: record.updated_at)[:count]


class ChangedPrune(MemoryMutant):
    """A store that prunes the tasks for which `is_old` and `is_selected` are true."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        with self.tables.lock:
            old = self.batch(before, organization, user, batch_size)
            for record in old:
                self.remove(record)
            return len(old)

    def batch(self, before: int, organization: str | None, user: str | None, batch_size: int) -> list[TaskRecord]:
        return [
            record
            for record in self.tables.records.values()
            if self.is_old(record, before) and self.is_selected(record, organization, user)
        ][:batch_size]

    def is_selected(self, record: TaskRecord, organization: str | None, user: str | None) -> bool:
        return organization in (None, record.organization_id) and user in (None, record.user_id)

    def is_old(self, record: TaskRecord, before: int) -> bool:
        return record.status in statuses.FINAL and record.updated_at < before

    def remove(self, record: TaskRecord) -> None:
        self.tables.remove(record)


@mutant("54", "prune removes running tasks", clause="KEEP-01")
@mutant("54", "prune removes running tasks, racing", clause="KEEP-04")
class PruneTakesActive(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        with self.tables.lock:
            old = [r for r in self.tables.records.values() if r.updated_at < before][:batch_size]
            for record in old:
                self.tables.remove(record)
                self.tables.active.pop((record.organization_id, record.active_key or ""), None)
        return len(old)


@mutant("55", "prune leaves index entries", clause="KEEP-05")
class PruneLeavesIndexes(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        with self.tables.lock:
            old = [
                r
                for r in self.tables.records.values()
                if r.status in statuses.FINAL
                and r.updated_at < before
                and organization in (None, r.organization_id)
                and user in (None, r.user_id)
            ][:batch_size]
            for record in old:
                del self.tables.records[record.id]
        return len(old)


@mutant("r51", "prune ignores the scope", clause="KEEP-01")
class PruneForgetsScope(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return super().store_prune(before, None, user, batch_size, deadline)


@mutant("x15", "prune in one batch", clause="KEEP-03")
class PruneInOneGo(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return super().store_prune(before, organization, user, 10**9, deadline)


@mutant("x47", "pruned tasks stay in a user's list", clause="KEEP-02")
class PruneLeavesUserList(MemoryMutant):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.earlier: dict[str, TaskRecord] = {}

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        self.earlier |= self.tables.records
        return super().store_prune(before, organization, user, batch_size, deadline)

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        known = {**self.earlier, **self.tables.records}.values()
        return self.answer([r for r in known if self.in_scope(r, organization) and r.user_id == user], limit)


@mutant("x116", "prune by creation", clause="KEEP-01")
class PruneByCreation(ChangedPrune):
    def is_old(self, record: TaskRecord, before: int) -> bool:
        return record.status in statuses.FINAL and record.created_at < before


@mutant("x117", "prune includes the bound", clause="KEEP-01")
class PruneIncludesTheBound(ChangedPrune):
    def is_old(self, record: TaskRecord, before: int) -> bool:
        return record.status in statuses.FINAL and record.updated_at <= before


@mutant("x118", "prune spares interrupted tasks", clause="KEEP-01")
class PruneSparesInterrupted(ChangedPrune):
    def is_old(self, record: TaskRecord, before: int) -> bool:
        return super().is_old(record, before) and record.status != statuses.INTERRUPTED


@mutant("x119", "prune ignores the user", clause="KEEP-01")
class PruneForgetsUser(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return super().store_prune(before, organization, None, batch_size, deadline)


@mutant("x120", "prune reports one removed task at most", clause="KEEP-01")
class PruneMiscounts(MemoryMutant):
    def prune(self, *args: Any, **kwargs: Any) -> int:
        return min(1, super().prune(*args, **kwargs))


@mutant("x121", "prune frees the key of an active task", clause="KEEP-02")
class PruneFreesTheKey(ChangedPrune):
    """Frees the key of a pruned task even if another task holds it now."""

    def remove(self, record: TaskRecord) -> None:
        super().remove(record)
        self.tables.active.pop((record.organization_id, record.task_key or ""), None)


@mutant("x123", "prune replaces the store by a copy", clause="KEEP-04", race=True)
class PruneSwapsTheStore(MemoryMutant):
    """Copies the tasks to keep, waits 5 ms, and replaces the store by the copy."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        kept, old = Tables(), 0
        with self.tables.lock:
            records = list(self.tables.records.values())
        for record in records:
            if record.status in statuses.FINAL and record.updated_at < before:
                old += 1
            else:
                kept.put(record)
        time.sleep(0.005)
        with self.tables.lock:
            for name in ("records", "active", "by_user", "by_key"):
                setattr(self.tables, name, getattr(kept, name))
        return min(old, batch_size - 1)


@mutant("x168", "payloads of pruned tasks stay", clause="KEEP-05")
class PruneLeavesPayloads(SQLStatementMutant):
    """Does not delete from the table of payloads, which SQLite has separately."""

    def rewrite(self, sql: str) -> str:
        return f"{sql} AND 1 = 0" if sql.startswith(f"DELETE FROM {self.tables.payloads_name}") else sql


@mutant("x188", "prune leaves entries of users in Redis", clause="KEEP-05")
class PruneLeavesEntriesInRedis(RedisMutant):
    replacements = (("redis.call('ZREM', keys.by_user, record.created .. record.id)\n    if", "if"),)


@mutant("x189", "prune leaves entries of keys in Redis", clause="KEEP-05")
class PruneLeavesKeyEntriesInRedis(RedisMutant):
    replacements = (("redis.call('ZREM', keys.by_key,", "redis.call('ZSCORE', keys.by_key,"),)


@mutant("s7", "the limit of a prune applied before its scope", clause="KEEP-01")
class PruneLimitBeforeScope(ChangedPrune):
    """Selects a batch of old ended tasks, and from it those of the organization and the user."""

    def batch(self, before: int, organization: str | None, user: str | None, batch_size: int) -> list[TaskRecord]:
        ended = [record for record in self.tables.records.values() if self.is_old(record, before)]
        return [r for r in longest_unchanged(ended, batch_size) if self.is_selected(r, organization, user)]


@mutant("s8", "the limit of a prune applied before the status", clause="KEEP-01")
class PruneLimitBeforeStatus(ChangedPrune):
    """Selects a batch of old tasks, and from it those that have ended."""

    def batch(self, before: int, organization: str | None, user: str | None, batch_size: int) -> list[TaskRecord]:
        selected = [record for record in self.tables.records.values() if self.is_selected(record, organization, user)]
        return [r for r in longest_unchanged(selected, batch_size) if self.is_old(r, before)]


@mutant("s9", "the user of a prune matched as a prefix", clause="KEEP-01")
class PruneUserAsPrefix(ChangedPrune):
    def is_selected(self, record: TaskRecord, organization: str | None, user: str | None) -> bool:
        return super().is_selected(record, organization, None) and record.user_id.startswith(user or "")


@mutant("s10", "a cache that a prune does not clear", clause="KEEP-02")
class GetCachedPastPrune(MemoryMutant):
    """A cache of records by id, which updates clear and prunes do not."""

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


@mutant("s25", "a prune counts the tasks that it selected", clause="KEEP-04", race=True)
class PruneCountsSelected(ChangedPrune):
    """Selects tasks, removes them 2 ms later, and returns how many it selected."""

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


@mutant("s26", "an update reads its row afterwards", clause="KEEP-04", race=True)
class RowReadAfterUpdate(MemoryMutant):
    """Reads the row of an update 3 ms after the update."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if super().store_update(task_id, organization, change, deadline) is None:
            return None
        time.sleep(0.003)
        return self.tables.records[task_id].row()


@mutant("s43", "a prune stops after a thousand entries that it must keep", clause="KEEP-01")
class PruneStopsAtAQuietChunk(ChangedCalls):
    """A prune stops at the first chunk of a thousand entries from which it removes none."""

    def run(self, original: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        reply = super().run(original, script, *args, **kwargs)
        return [0, 0, b""] if script is scripts.PRUNE and not reply[0] else reply


@mutant("s61", "only the payloads of 500 tasks are pruned", clause="KEEP-01")
class PrunedPayloadsUpTo500(ChangedConnections):
    """Deletes the payloads of at most 500 tasks of a batch."""

    def changed(self, connection: Any) -> Any:
        execute_many = connection.execute_many

        def up_to_500(sql: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
            execute_many(sql, itertools.islice(rows, 500) if sql.startswith("DELETE") else rows, deadline)

        connection.execute_many = up_to_500
        return connection
