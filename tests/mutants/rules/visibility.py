"""Mutants of the rules about visibility and durability."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from module_sdk_memory.manager import Tables
from module_sdk_mongo.connection import within
from module_sdk_mongo.filters import query_document
from module_sdk_redis import scripts
from module_sdk_redis.scripts import Script

from module_sdk.backends import (
    Capabilities,
    Change,
    ConfigurationError,
    ManagerOptions,
    Query,
    Sort,
    StoredRows,
    TaskRecord,
    statuses,
)
from module_sdk.domain.rows import LookupResult
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant, SharedMemory
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.opening import Opened
from tests.mutants.stores.redis import ChangedCalls
from tests.mutants.stores.sql import SQLMutant, SQLStatementMutant


def nothing(*_: Any, **__: Any) -> None:
    pass


class OfOneProcess(SQLMutant):
    """A correct store that is not shared between processes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.capabilities = Capabilities(durable=True, bounded=True)


WRITES: Final = frozenset({"store_create", "store_import", "store_update", "store_prune"})


class ClearsAtWrites(Opened):
    """A store with a cache, which `forget` clears before each of its own writes."""

    def call(self, primitive: Callable[..., Any], *args: Any) -> Any:
        if primitive.__name__ in WRITES:
            self.forget()
        return super().call(primitive, *args)

    def forget(self) -> None:
        raise NotImplementedError


@mutant("52", "stale snapshot in a long reader", clause="SEE-02")
class StaleSnapshot(SharedMemory):
    """Answers all lookups from the records at its first one."""

    snapshot: dict[str, TaskRecord] | None = None

    def scoped(self, organization: str) -> list[TaskRecord]:
        if self.snapshot is None:
            self.snapshot = dict(self.tables.records)
        return [record for record in self.snapshot.values() if self.in_scope(record, organization)]


@mutant("52", "stale snapshot in a long-reading process", clause="SEE-03")
class StaleSQLSnapshot(SQLMutant):
    """Answers like a transaction that the first read began and that never ends."""

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        remembered: dict[Any, StoredRows] = self.__dict__.setdefault("remembered", {})
        question = (organization, key, limit)
        if question not in remembered:
            remembered[question] = super().store_find_by_key(organization, key, limit, deadline)
        return remembered[question]


@mutant("53", "commit forgotten until close", clause="SEE-02")
class CommitForgotten(SharedMemory):
    """Hides its writes from other managers until it is closed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.committed, self.tables = self.tables, Tables()

    def store_close(self) -> None:
        for record in self.tables.records.values():
            self.committed.put(record)


@mutant("r46", "acknowledged before durable", clause="SEE-05")
class AcknowledgedBeforeDurable(SQLMutant):
    """Acknowledges a create, and writes it 20 ms later."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        def write() -> None:
            time.sleep(0.02)
            super(AcknowledgedBeforeDurable, self).store_create(record, deadline + 10)

        threading.Thread(target=write).start()
        return record


@mutant("x39", "reads cached for 5 ms", clause="SEE-01")
class ReadsItsWritesLater(MemoryMutant):
    """Caches the answer of each lookup for 5 ms."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.cached: dict[Any, tuple[float, LookupResult]] = {}

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        question = (primitive.__name__, arguments, limit)
        until, answer = self.cached.get(question, (0.0, LookupResult()))
        if time.monotonic() < until:
            return LookupResult(answer)
        answer = super().find(primitive, arguments, limit, timeout_seconds)
        self.cached[question] = (time.monotonic() + 0.005, answer)
        return LookupResult(answer)


@mutant("x40", "checkpoints lost with the process", clause="SEE-04")
class PayloadsNotKept(SQLMutant):
    """Keeps checkpoints in memory only."""

    names: ClassVar[tuple[str, ...]] = ("checkpoint",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.own: dict[str, dict[str, Any]] = {}

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.own.setdefault(record.id, {name: getattr(record, name) for name in self.names})
        nothing: dict[str, Any] = dict.fromkeys(self.names)
        stored = super().store_create(record._replace(**nothing), deadline)
        return stored._replace(**self.own.get(stored.id, {}))

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        found = super().store_get(task_id, organization, deadline)
        return found and found._replace(**self.own.get(task_id, {}))


@mutant("x42", "a newer schema is used anyway", clause="SEE-06")
class NewerSchemaAccepted(SQLMutant):
    def ensure_schema(self, connection: Any, create: bool, deadline: float) -> None:
        with contextlib.suppress(ConfigurationError):
            super().ensure_schema(connection, create, deadline)


@mutant("x43", "a lock lost in a fork", clause="SEE-07")
class LockLostInFork(MemoryMutant):
    """Does not replace its lock in a child, which may have been forked while a thread of the parent held it."""

    def store_after_fork(self) -> None:
        pass

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        with self.tables.lock:
            time.sleep(0.002)
            return super().store_get(task_id, organization, deadline)


@mutant("x173", "payloads written after the acknowledgement", clause="SEE-05")
class PayloadsWrittenLater(SQLStatementMutant):
    """Acknowledges a task, and writes its payloads 30 ms later."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record._replace(checkpoint=None), deadline)
        if stored.id != record.id or record.checkpoint is None:
            return record if stored.id == record.id else stored

        def write() -> None:
            time.sleep(0.03)
            change = Change(record.updated_at, tuple(statuses.STATUSES), {"checkpoint": record.checkpoint})
            super(PayloadsWrittenLater, self).store_update(record.id, None, change, time.monotonic() + 10)

        threading.Thread(target=write, daemon=True).start()
        return record


@mutant("x209", "an unlogged table on PostgreSQL", clause="SEE-08", on="postgresql")
class UnloggedOnPostgreSQL(SQLStatementMutant):
    """Stores tasks in an unlogged table, which is empty after a crash."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        dialect: Any = self.dialect
        define = dialect.define
        unlogged = f"CREATE UNLOGGED TABLE {self.tables.tasks_name} "
        dialect.define = lambda connection, sql, deadline: define(
            connection, sql.replace(f"CREATE TABLE {self.tables.tasks_name} ", unlogged), deadline
        )


@mutant("s22", "a snapshot of each thread", clause="SEE-07")
class ThreadLocalReads(ClearsAtWrites, MemoryMutant):
    """Each thread caches its lookups, and only its own writes clear the cache."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.snapshots = threading.local()

    def forget(self) -> None:
        self.snapshots.answers = {}

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        answers = self.snapshots.__dict__.setdefault("answers", {})
        question = (primitive.__name__, arguments, repr(limit))
        if question not in answers:
            answers[question] = super().find(primitive, arguments, limit, timeout_seconds)
        return LookupResult((row.copy() for row in answers[question]), skipped=answers[question].skipped)


@mutant("s35", "arguments lost with the process", clause="SEE-04")
class ArgumentsNotKept(PayloadsNotKept):
    """Keeps functions and arguments in memory only."""

    names = ("function", "arguments")


@mutant("s36", "an index of users lost with the process", clause="SEE-04")
class UserIndexNotRebuilt(OfOneProcess):
    """Lists users by an index in memory, which is not built when the store is opened."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.indexed: set[str] = set()

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        self.indexed.add(stored.id)
        return stored

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        self.indexed.update(record.id for record in records)
        return super().store_import(records, deadline)

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        rows = super().store_find_by_user(organization, user, None, deadline)
        return [row for row in rows if row is None or row[0] in self.indexed][:limit]


@mutant("s37", "unknown ids cached", clause="SEE-02")
class UnknownIdRemembered(SQLMutant):
    """Caches the ids that did not exist until it writes them itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.unknown: set[str] = set()

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.unknown.discard(record.id)
        return super().store_create(record, deadline)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        self.unknown.difference_update(record.id for record in records)
        return super().store_import(records, deadline)

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        if task_id in self.unknown:
            return None
        found = super().store_get(task_id, organization, deadline)
        if found is None and organization is None:
            self.unknown.add(task_id)
        return found


@mutant("s38", "pages and counts cached", clause="SEE-02")
class PagesRemembered(ClearsAtWrites, SQLMutant):
    """Caches pages and counts until it writes itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.answers: dict[str, Any] = {}

    def forget(self) -> None:
        self.answers = {}

    def store_count(self, query: Query, deadline: float) -> int:
        answers, question = self.answers, repr(query)
        if question not in answers:
            answers[question] = super().store_count(query, deadline)
        return int(answers[question])

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        answers, question = self.answers, repr((query, sort, offset, limit))
        if question not in answers:
            answers[question] = super().store_page(query, sort, offset, limit, deadline)
        return list(answers[question])


@mutant("s48", "scripts loaded at opening only", clause="SEE-08")
class ScriptsLoadedAtOpening(ChangedCalls):
    """Does not send a script again to a server that has lost it in a restart."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        for script in vars(scripts).values():
            if isinstance(script, Script):
                self.router.read("SCRIPT", "LOAD", script.text, deadline=deadline)

    def run(self, original: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        keys, arguments, deadline = args
        return self.router.call(("EVALSHA", script.digest, len(keys), *keys, *arguments), deadline, **kwargs)


@mutant("s52", "a count by estimate", clause="SEE-08")
class EstimatedCount(MongoMutant):
    """Counts all tasks by the collection's own estimate, which may be wrong after a crash."""

    def store_count(self, query: Query, deadline: float) -> int:
        if query_document(query):
            return super().store_count(query, deadline)
        with within(deadline):
            return self.connection.tasks.estimated_document_count()


@mutant("s58", "progress kept in memory", clause="SEE-04")
class ProgressWrittenLater(OfOneProcess):
    """Keeps reported progress in memory until the next call."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pending: dict[str, Change] = {}
        self.one_at_a_time = threading.RLock()

    def call_open(self, primitive: Callable[..., Any], *args: Any) -> Any:
        with self.one_at_a_time:
            self.flush()
            return super().call_open(primitive, *args)

    def flush(self) -> None:
        while self.pending:
            task_id, change = self.pending.popitem()
            super().store_update(task_id, None, change, time.monotonic() + 10)

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or record.status not in change.allowed or set(change.fields) != {"progress"}:
            return super().store_update(task_id, organization, change, deadline)
        self.pending[task_id] = change
        return record._replace(**change.fields, updated_at=max(change.now, record.updated_at + 1)).row()

    def store_close(self) -> None:
        self.flush()
        super().store_close()
