"""Mutants that cache their reads and miss some write of another thread, manager or process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from module_sdk.backends import Change, Query, Sort, StoredRows, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.rules.visibility import ClearsAtWrites
from tests.mutants.stores.memory import MemoryMutant, SharedMemory
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.opening import Opened
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant
from tests.mutants.stores.wire import OverTheWire


class RemembersEmpty(Opened):
    """A store that caches empty answers until it creates or imports a task itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.empty: set[tuple[str, str]] = set()

    def call(self, primitive: Callable[..., Any], *args: Any) -> Any:
        try:
            return super().call(primitive, *args)
        finally:
            if primitive.__name__ in ("store_create", "store_import"):
                self.empty.clear()

    def ask(self, question: tuple[str, str], find: Callable[[], StoredRows]) -> StoredRows:
        if question in self.empty:
            return []
        found = find()
        if not found:
            self.empty.add(question)
        return found


@mutant("t241", "keys without tasks cached", clause="SEE-02")
class EmptyKeysRemembered(RemembersEmpty, SharedMemory):
    """Caches the keys that had no task."""

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        find = super().store_find_by_key
        return self.ask((organization, key), lambda: find(organization, key, limit, deadline))


@mutant("t242", "empty counts cached until the next task", clause="SEE-01")
class EmptyCountsRemembered(MemoryMutant):
    """Caches counts of zero until the number of tasks changes; an update can make a count wrong, too."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.empty: dict[str, int] = {}

    def store_count(self, query: Query, deadline: float) -> int:
        size = len(self.tables.records)
        if self.empty.get(repr(query)) == size:
            return 0
        found = super().store_count(query, deadline)
        if not found:
            self.empty[repr(query)] = size
        return found


@mutant("t243", "the holder of a key cached", clause="DEDUP-08")
class HolderRemembered(SharedMemory):
    """Caches the holder of a key until it ends that task itself; another manager may have ended it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.holders: dict[tuple[str, str], str] = {}

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        key = (record.organization_id, record.active_key or "")
        remembered = self.tables.records.get(self.holders.get(key, ""))
        is_new = record.id not in self.tables.records
        if remembered is not None and is_new and record.active_key is not None:
            return remembered
        stored = super().store_create(record, deadline)
        if stored.active_key is not None:
            self.holders[stored.organization_id, stored.active_key] = stored.id
        return stored

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and change.ends:
            self.holders = {key: holder for key, holder in self.holders.items() if holder != task_id}
        return row


@mutant("t244", "a record cached by each thread", clause="SEE-09")
class RecordOfEachThread(MemoryMutant):
    """Each thread caches the records that it read until it writes to them."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.own = threading.local()

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        records: dict[str, TaskRecord] = vars(self.own)
        if task_id not in records:
            found = super().store_get(task_id, None, deadline)
            if found is None:
                return None
            records[task_id] = found
        record = records[task_id]
        return record if organization in (None, record.organization_id) else None

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        vars(self.own).pop(task_id, None)
        with self.tables.lock:
            row = super().store_update(task_id, organization, change, deadline)
            vars(self.own).pop(task_id, None)
        return row

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        vars(self.own).clear()
        return super().store_prune(before, organization, user, batch_size, deadline)


@mutant("t245", "later pages served from the ids of the first query", clause="SEE-01")
class LaterPagesRemembered(MemoryMutant):
    """Queries and sorts for the first page only, and serves later pages from the ids that it found."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.found: dict[str, list[str]] = {}

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        question = repr((query, sort))
        if offset == 0 or question not in self.found:
            everything = super().store_page(query, sort, 0, 2**62, deadline)
            self.found[question] = [str(row[0]) for row in everything if row is not None]
        wanted = self.found[question][offset : offset + limit]
        records = (self.tables.records.get(task_id) for task_id in wanted)
        return [record.row() for record in records if record is not None]


@mutant("t246", "only the first ping reaches the server in Redis", clause="DISC-07")
class PingedOnce(RedisMutant):
    is_alive = False

    def store_ping(self, deadline: float) -> None:
        if not self.is_alive:
            super().store_ping(deadline)
            self.is_alive = True


@mutant("t247", "only the first ping reaches the server", clause="DISC-07")
class PingedOnceOverTheWire(OverTheWire):
    is_alive = False

    def ping(self, *, timeout_seconds: float | None = None) -> None:
        if not self.is_alive or self.is_closed_by_caller():
            super().ping(timeout_seconds=timeout_seconds)
            self.is_alive = True

    def is_closed_by_caller(self) -> bool:
        return bool(getattr(self, "is_closed", False))


@mutant("t248", "users' lists cached by all managers of a process", clause="SEE-03")
class ListsOfAProcess(SQLMutant):
    """Caches users' lists for all managers of the process until one of them writes; other processes write, too."""

    lists: ClassVar[dict[str, dict[Any, StoredRows]]] = {}

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        lists = self.lists.setdefault(f"{self.url.text} {self.options.namespace}", {})
        question = (organization, user, limit)
        if question not in lists:
            lists[question] = super().store_find_by_user(organization, user, limit, deadline)
        return list(lists[question])

    def forget(self) -> None:
        self.lists.pop(f"{self.url.text} {self.options.namespace}", None)

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        self.forget()
        return stored

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        try:
            return super().store_import(records, deadline)
        finally:
            self.forget()

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        self.forget()
        return row

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        try:
            return super().store_update_many(task_ids, organization, change, deadline)
        finally:
            self.forget()

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        try:
            return super().store_prune(before, organization, user, batch_size, deadline)
        finally:
            self.forget()


@mutant("t249", "counts cached until a newer change", clause="SEE-01")
class CountsUntilNewer(MemoryMutant):
    """Caches counts while the latest `updated_at` is the same, and so misses prunes and imports of old tasks."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.counts: dict[str, tuple[int, int]] = {}

    def store_count(self, query: Query, deadline: float) -> int:
        with self.tables.lock:
            newest = max((record.updated_at for record in self.tables.records.values()), default=0)
            known = self.counts.get(repr(query))
            if known is None or known[0] != newest:
                known = self.counts[repr(query)] = (newest, super().store_count(query, deadline))
            return known[1]


@mutant("t250", "prefix lookups cached while the number of tasks is the same", clause="SEE-01")
class PrefixLookupsBySize(MemoryMutant):
    """Caches the rows of a prefix until a task is added or removed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.answers: dict[Any, tuple[int, StoredRows]] = {}

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        with self.tables.lock:
            question, size = (organization, start, end, limit), len(self.tables.records)
            if question not in self.answers or self.answers[question][0] != size:
                found = super().store_find_by_prefix(organization, start, end, limit, deadline)
                self.answers[question] = (size, list(found))
            return list(self.answers[question][1])


@mutant("t251", "records cached by each manager", clause="SEE-02")
class RecordsOfAManager(ClearsAtWrites, SQLMutant):
    """Caches whole records until it writes itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.records: dict[Any, TaskRecord] = {}

    def forget(self) -> None:
        self.records = {}

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        records, question = self.records, (task_id, organization)
        if question not in records:
            found = super().store_get(task_id, organization, deadline)
            if found is None:
                return None
            records[question] = found
        return records[question]


@mutant("t252", "ended records cached for ever", clause="SEE-02")
class EndedRemembered(SharedMemory):
    """Caches ended records until it prunes, since they do not change; another manager may have pruned them."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ended: dict[str, TaskRecord] = {}

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = self.ended.get(task_id) or super().store_get(task_id, None, deadline)
        if record is None or organization not in (None, record.organization_id):
            return None
        if record.status in statuses.FINAL:
            self.ended[task_id] = record
        return record

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        self.ended = {}
        removed = super().store_prune(before, organization, user, batch_size, deadline)
        self.ended = {}
        return removed


@mutant("t253", "users without tasks cached in MongoDB", clause="SEE-02")
class EmptyUsersRememberedInMongo(RemembersEmpty, MongoMutant):
    """Caches the users that had no task."""

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        find = super().store_find_by_user
        return self.ask((organization, user), lambda: find(organization, user, limit, deadline))


@mutant("t254", "a page cached while the newest change is the same", clause="SEE-01")
class PageByItsFirstRow(MemoryMutant):
    """Caches pages while the newest change of all tasks is the same, and so misses prunes and imports of old tasks."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pages: dict[str, tuple[Any, StoredRows]] = {}

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        with self.tables.lock:
            newest = max(((record.updated_at, record.id) for record in self.tables.records.values()), default=None)
            question = repr((query, sort, offset, limit))
            if question not in self.pages or self.pages[question][0] != newest:
                found = super().store_page(query, sort, offset, limit, deadline)
                self.pages[question] = (newest, list(found))
            return list(self.pages[question][1])
