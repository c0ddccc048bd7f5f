"""Tasks in dictionaries: a readable reference of what a store must do, and the package to copy for a new backend."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, TypeVar

from sortedcontainers import SortedDict

from module_sdk.backends import (
    ROW_FIELDS,
    Capabilities,
    Change,
    ManagerOptions,
    Query,
    Sort,
    StoredRows,
    TaskBackendUnavailableError,
    TaskManager,
    TaskRecord,
    statuses,
)
from module_sdk_memory.filters import matches, sort_key

Result = TypeVar("Result")

# Lookups slice the record, because creating a `StoredRow` takes four times as long per row.
ROW_LENGTH: Final = len(ROW_FIELDS)

Work = Callable[[], Result]
Moment = tuple[int, str]
"""`created_at` and id: the order of a lookup."""

NO_MOMENTS: Final[list[Moment]] = []
NO_KEYS: Final[SortedDict[str, list[Moment]]] = SortedDict()

# Python's locks refuse an infinite timeout.
LONGEST_WAIT_SECONDS: Final = 86_400.0


class Tables:
    """The records of one store, and the three indexes that serve the lookups.

    Changes require the lock. A record is replaced, never modified, and exists for as long as an index refers to it.
    Lookups can therefore read a record or copy a list in one step of Python, without the lock; a lock taken on every
    lookup would become the bottleneck.

    The indexes are derived from `records`. An exception in a signal handler may end a change between any two steps; the
    next call then rebuilds the indexes.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, TaskRecord] = {}
        self.change: weakref.ref[TableChange] | None = None
        """The change in progress, or one that was interrupted, whose object may be gone with its call."""
        self.version = 0
        self.removals = 0
        self.clear_indexes()

    def clear_indexes(self) -> None:
        self.active: dict[tuple[str, str], str] = {}
        # Moments in ascending order, in plain lists: most tasks arrive in order, and most lists are short.
        self.by_user: dict[tuple[str, str], list[Moment]] = {}
        # A sorted dictionary per organization, so that a prefix lookup reads one range of keys and nothing else.
        self.by_key: dict[str, SortedDict[str, list[Moment]]] = {}

    def write(self, work: Work[Result], deadline: float = math.inf) -> Result:
        """Return the result of `work`, which may change the tables, while no other thread changes them."""
        return self.locked(self.change_now, work, deadline)

    def read_whole(self, read: Work[Result], deadline: float = math.inf) -> Result:
        """Return the result of `read` while no other thread writes, with indexes that are complete."""
        return self.locked(self.read_now, read, deadline)

    def locked(self, run: Callable[[Work[Result]], Result], work: Work[Result], deadline: float) -> Result:
        """Return the result of `run(work)`, which runs under the lock.

        Raises `TaskBackendUnavailableError` if another thread has the lock until the deadline.
        """
        acquire, release = self.lock.acquire, self.lock.release
        seconds = min(max(0.0, deadline - time.monotonic()), LONGEST_WAIT_SECONDS)
        # A `with` statement with a deadline. Python runs signal handlers after calls. There must be no other call
        # between `try` and `acquire`, or between `finally` and `release`: if a handler raised there, the lock would
        # never be released.
        try:
            if not acquire(True, seconds):
                raise TaskBackendUnavailableError("another thread kept the store locked until the deadline")
            return run(work)
        finally:
            try:  # noqa: SIM105  # `suppress` would be such a call
                release()
            except RuntimeError:  # it was not acquired
                pass

    def change_now(self, work: Work[Result]) -> Result:
        """Return the result of `work`; called under the lock.

        A signal handler can run this inside another change or read of the same thread, because the lock is reentrant.
        It then raises `TaskBackendUnavailableError` if it interrupts a change.
        """
        earlier = self.change
        if earlier is not None and is_under_way(earlier()):
            raise TaskBackendUnavailableError("this call interrupts one that writes to the same store")
        own = TableChange()
        self.change = weakref.ref(own)
        try:
            if earlier is not None:
                self.rebuild()
            self.version += 1
            result = work()
            while own.needs_rebuild:
                own.needs_rebuild = False
                self.rebuild()
            self.change = None
            return result
        finally:
            own.is_under_way = False

    def read_now(self, read: Work[Result]) -> Result:
        """Return the result of `read`; called under the lock.

        The indexes are rebuilt first if a change was interrupted, by an exception or by the signal handler that makes
        this call.
        """
        while True:
            version, change = self.version, self.change
            if change is not None:
                step = change()
                if step is not None:
                    step.needs_rebuild = True
                self.rebuild()
                if not is_under_way(step):
                    self.change = None
            try:
                result = read()
            except (LookupError, RuntimeError, ValueError):
                # A signal handler that interrupted the read may have written; then read again.
                if self.version == version:
                    raise
            else:
                if self.version == version:
                    return result

    def rebuild(self) -> None:
        self.removals += 1
        self.clear_indexes()
        for record in list(self.records.values()):
            # A corrupted record that cannot be compared is in no index.
            with contextlib.suppress(TypeError):
                self.index(record)

    def put(self, record: TaskRecord) -> None:
        self.records[record.id] = record
        self.index(record)

    def index(self, record: TaskRecord) -> None:
        moment = (record.created_at, record.id)
        bisect.insort(self.by_user.setdefault((record.organization_id, record.user_id), []), moment)
        if record.task_key is not None:
            keys = self.by_key.get(record.organization_id)
            if keys is None:
                keys = self.by_key[record.organization_id] = SortedDict()
            bisect.insort(keys.setdefault(record.task_key, []), moment)
        if record.active_key is not None:
            self.active[record.organization_id, record.active_key] = record.id

    def newest(self, record: TaskRecord) -> int | None:
        """Return the latest `created_at` of the record's key up to its horizon, or `None` if all precede its own."""
        if record.task_key is None:
            return None
        moments = self.by_key.get(record.organization_id, NO_KEYS).get(record.task_key, NO_MOMENTS)
        if not moments or moments[-1][0] < record.created_at:
            return None
        counted = bisect.bisect_left(moments, (record.horizon() + 1, ""))
        return moments[counted - 1][0] if counted else None

    def remove(self, record: TaskRecord) -> None:
        # Any entry may be missing: a signal handler may have rebuilt the indexes in between.
        moment = (record.created_at, record.id)
        self.records.pop(record.id, None)
        self.removals += 1
        scope = (record.organization_id, record.user_id)
        if remove_moment(self.by_user.get(scope, []), moment):
            self.by_user.pop(scope, None)
        keys = self.by_key.get(record.organization_id)
        if record.task_key is not None and keys is not None:
            if remove_moment(keys.get(record.task_key, []), moment):
                keys.pop(record.task_key, None)
            if not keys:
                self.by_key.pop(record.organization_id, None)

    def rows(
        self, find: Callable[[], list[Moment]], limit: int | None, deadline: float = math.inf
    ) -> list[tuple[Any, ...]]:
        """Return the rows of the moments that `find` copies from an index, newest first."""
        removals = self.removals
        if self.change is None:
            try:
                rows = self.read(find(), limit)
            except KeyError:
                rows = None
            if rows is not None and self.removals == removals:
                return rows
        # A task that was found has been removed, perhaps replaced by another with its id; or a change is incomplete.
        return self.read_whole(lambda: self.read(find(), limit), deadline)

    def read(self, moments: list[Moment], limit: int | None) -> list[tuple[Any, ...]]:
        records = self.records
        return [records[task_id][:ROW_LENGTH] for _, task_id in moments[:limit]]


class TableChange:
    """One change of the tables."""

    __slots__ = ("__weakref__", "is_under_way", "needs_rebuild")

    def __init__(self) -> None:
        self.is_under_way = True
        self.needs_rebuild = False
        """Whether a signal handler rebuilt the indexes during the change, which must then rebuild them itself."""


def is_under_way(change: TableChange | None) -> bool:
    """Return whether the change is in progress.

    An exception that ended the change may keep its object alive, so the object's existence alone does not show it.
    """
    return change is not None and change.is_under_way


def remove_moment(moments: list[Moment], moment: Moment) -> bool:
    """Remove the moment if the list contains it. Return whether the list is empty afterwards."""
    index = bisect.bisect_left(moments, moment)
    if moments[index : index + 1] == [moment]:
        del moments[index]
    return not moments


class MemoryTaskManager(TaskManager):
    """Tasks in the memory of this process.

    With `memory://`, each manager has a store of its own; managers with the same `memory://name` share one.
    """

    capabilities = Capabilities(bounded=True)

    shared_tables: ClassVar[dict[tuple[str, str], Tables]] = {}

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        super().__init__(url, options)
        self.options.refuse_unknown()
        name = self.url.text.partition("://")[2]
        location = (name, self.options.namespace)
        self.tables = self.shared_tables.setdefault(location, Tables()) if name else Tables()

    def store_open(self, create: bool, deadline: float) -> None:
        pass

    def store_ping(self, deadline: float) -> None:
        pass

    def store_close(self) -> None:
        pass

    def store_after_fork(self) -> None:
        self.tables.lock = threading.RLock()
        # Another thread of the parent may have been in the middle of a change, which does not continue here.
        if self.tables.change is not None and (step := self.tables.change()) is not None:
            step.is_under_way = False

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        def create() -> TaskRecord:
            existing = self.tables.records.get(record.id) or self.holder(record)
            if existing is not None:
                return existing
            created = record.after(self.tables.newest(record))
            self.tables.put(created)
            return created

        return self.tables.write(create, deadline)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        def put_all() -> int:
            written = 0
            for record in records:
                if record.id in self.tables.records:
                    continue
                if self.holder(record) is not None:
                    raise self.key_is_held(record.id)
                self.tables.put(record)
                written += 1
            return written

        return self.tables.write(put_all, deadline)

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = self.tables.records.get(task_id)
        return record if record is not None and organization in (None, record.organization_id) else None

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        tables = self.tables
        return tables.rows(lambda: tables.by_user.get((organization, user), NO_MOMENTS)[::-1], limit, deadline)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        tables = self.tables
        return tables.rows(lambda: tables.by_key.get(organization, NO_KEYS).get(key, NO_MOMENTS)[::-1], limit, deadline)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        def find() -> list[tuple[Any, ...]]:
            keys = self.tables.by_key.get(organization, NO_KEYS)
            matching = keys.irange(start, end, inclusive=(True, False))
            newest_of_each = (itertools.islice(reversed(keys[key]), limit) for key in matching)
            return self.tables.read(sorted(itertools.chain.from_iterable(newest_of_each), reverse=True), limit)

        # Iterating over the keys takes many steps, so it needs the lock.
        return self.tables.read_whole(find, deadline)

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        def update() -> Sequence[Any] | None:
            record = self.store_get(task_id, organization, deadline)
            if record is None or record.status not in change.allowed:
                return None
            moment = max(change.now, record.updated_at + 1)
            fields = {**change.fields, "updated_at": moment}
            if change.starts and record.started_at is None:
                fields["started_at"] = moment
            if change.ends:
                fields |= {"finished_at": moment, "active_key": None}
            changed = self.tables.records[task_id] = record._replace(**fields)
            if change.ends and record.active_key is not None:
                self.tables.active.pop((record.organization_id, record.active_key), None)
            return changed[:ROW_LENGTH]

        return self.tables.write(update, deadline)

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        selected = sorted(self.select(query), key=lambda record: sort_key(record, sort), reverse=sort.descending)
        return [record.row() for record in selected[offset : offset + limit]]

    def store_count(self, query: Query, deadline: float) -> int:
        return sum(1 for _ in self.select(query))

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        def remove_old() -> int:
            old = [
                record
                for record in self.tables.records.values()
                if record.status in statuses.FINAL
                and record.updated_at < before
                and organization in (None, record.organization_id)
                and user in (None, record.user_id)
            ][:batch_size]
            for record in old:
                self.tables.remove(record)
            return len(old)

        return self.tables.write(remove_old, deadline)

    def holder(self, record: TaskRecord) -> TaskRecord | None:
        """Return the active task that has the record's key in its organization, or `None`."""
        if record.active_key is None:
            return None
        holder_id = self.tables.active.get((record.organization_id, record.active_key))
        return None if holder_id is None else self.tables.records[holder_id]

    def select(self, query: Query) -> Iterator[TaskRecord]:
        # Copying the records is one step of Python; other threads may write during the loop.
        for record in list(self.tables.records.values()):
            if query.organization in (None, record.organization_id) and matches(record, query.conditions):
                yield record
