"""Mutants of the store as a whole: visibility, failures, retention, namespaces, secrets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from module_sdk_memory.manager import Tables

from module_sdk.backends import (
    Capabilities,
    ConfigurationError,
    ManagerOptions,
    StoredRows,
    TaskBackendError,
    TaskRecord,
    statuses,
)
from module_sdk.rows import LookupResult, rows_from_stored
from tests.mutants.bases import MemoryMutant, SQLMutant

# --- Visibility -------------------------------------------------------------------------------------------------------


class SharedMemory(MemoryMutant):
    """Claims to be shared, which it is among the managers of one process."""

    capabilities = Capabilities(bounded=True, shared=True)


class StaleSnapshot(SharedMemory):
    """Answers for ever from what stood at its first lookup."""

    snapshot: dict[str, TaskRecord] | None = None

    def scoped(self, organization: str) -> list[TaskRecord]:
        if self.snapshot is None:
            self.snapshot = dict(self.tables.records)
        return [record for record in self.snapshot.values() if self.in_scope(record, organization)]


class CommitForgotten(SharedMemory):
    """Keeps what it writes to itself until it is closed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.committed, self.tables = self.tables, Tables()

    def store_close(self) -> None:
        for record in self.tables.records.values():
            self.committed.put(record)


class StaleSQLSnapshot(SQLMutant):
    """A transaction that was opened by the first read and never ended, as far as its reads tell."""

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        remembered: dict[Any, StoredRows] = self.__dict__.setdefault("remembered", {})
        question = (organization, key, limit)
        if question not in remembered:
            remembered[question] = super().store_find_by_key(organization, key, limit, deadline)
        return remembered[question]


class AcknowledgedBeforeDurable(SQLMutant):
    """Says yes, and writes 20 ms later."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        def write() -> None:
            time.sleep(0.02)
            super(AcknowledgedBeforeDurable, self).store_create(record, deadline + 10)

        threading.Thread(target=write).start()
        return record


class ReadsItsWritesLater(MemoryMutant):
    """A cache in front of its lookups, good for 5 ms."""

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


class PayloadsNotKept(SQLMutant):
    """Keeps checkpoints to itself."""

    names: ClassVar[tuple[str, ...]] = ("checkpoint",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.own: dict[str, dict[str, Any]] = {}

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.own.setdefault(record.id, {name: getattr(record, name) for name in self.names})
        nothing: dict[str, Any] = dict.fromkeys(self.names)
        standing = super().store_create(record._replace(**nothing), deadline)
        return standing._replace(**self.own.get(standing.id, {}))

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        found = super().store_get(task_id, organization, deadline)
        return found and found._replace(**self.own.get(task_id, {}))


class CheckThenInsertInSQL(SQLMutant):
    """Looks whether the key is held, and if not inserts a record that holds none."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        rows = [] if record.active_key is None else self.find_active(record, deadline)
        if rows:
            standing = self.store_get(rows[0], None, deadline)
            return standing or record
        time.sleep(0.005)
        super().store_create(record._replace(active_key=None), deadline)
        return record

    def find_active(self, record: TaskRecord, deadline: float) -> list[str]:
        found = self.store_find_by_key(record.organization_id, record.task_key or "", None, deadline)
        return [row[0] for row in found if row and row[3] in statuses.ACTIVE]


class NewerSchemaAccepted(SQLMutant):
    def check_schema(self, link: Any, create: bool, deadline: float) -> None:
        with contextlib.suppress(ConfigurationError):
            super().check_schema(link, create, deadline)


class LockLostInFork(MemoryMutant):
    """Its lock is the parent's for ever."""

    def store_after_fork(self) -> None:
        pass

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        with self.tables.lock:
            time.sleep(0.002)
            return super().store_get(task_id, organization, deadline)


# --- Failures ---------------------------------------------------------------------------------------------------------


class ErrorsSwallowed(MemoryMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        try:
            return super().find(primitive, arguments, limit, timeout_seconds)
        except TaskBackendError:
            return LookupResult()


class ErrorsUntyped(MemoryMutant):
    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return primitive(*args, **kwargs)


class BrokenForEver(MemoryMutant):
    """Refuses all further use after one failure."""

    failed = False

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.failed and primitive.__name__ != "store_close":
            raise TaskBackendError("the connection is lost")
        try:
            return super().call(primitive, *args, **kwargs)
        except TaskBackendError:
            self.failed = True
            raise


class LeaksDescriptors(MemoryMutant):
    """Leaves a connection behind at each failure."""

    left: ClassVar[list[socket.socket]] = []

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(primitive, *args, **kwargs)
        except TaskBackendError:
            self.left.append(socket.socket())
            raise

    def store_close(self) -> None:
        while self.left:
            self.left.pop().close()


class WriteErrorsSwallowed(MemoryMutant):
    def create(self, task: Any, *, timeout_seconds: float | None = None) -> Any:
        try:
            return super().create(task, timeout_seconds=timeout_seconds)
        except TaskBackendError:
            return task, True


class CauseLost(MemoryMutant):
    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return primitive(*args, **kwargs)
        except Exception as error:
            failure = self.translate_error(error)
        raise failure


class UnreadableHidesTheRest(MemoryMutant):
    def scoped(self, organization: str) -> list[TaskRecord]:
        found = super().scoped(organization)
        if any(record.status not in statuses.STATUSES for record in found):
            raise ValueError("a record cannot be read")
        return found


class UnreadableTakesAPlace(MemoryMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        return rows_from_stored(self.call_open(primitive, *arguments, limit, self.deadline(timeout_seconds)))


# --- Retention --------------------------------------------------------------------------------------------------------


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


class PruneForgetsScope(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return super().store_prune(before, None, user, batch_size, deadline)


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


class PruneLeavesUserList(MemoryMutant):
    """Pruned tasks stay in the list of their user."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.once: dict[str, TaskRecord] = {}

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        self.once |= self.tables.records
        return super().store_prune(before, organization, user, batch_size, deadline)

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        known = {**self.once, **self.tables.records}.values()
        return self.answer([r for r in known if self.in_scope(r, organization) and r.user_id == user], limit)


class PruneInOneGo(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return super().store_prune(before, organization, user, 10**9, deadline)


# --- Namespaces, secrets, life ----------------------------------------------------------------------------------------


class NamespacesShareAnIndex(MemoryMutant):
    """Tells namespaces apart by their first ten characters and digits after them."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        place = ("shared", options.namespace.rstrip("ab_"))
        self.tables = self.shared_tables.setdefault(place, Tables())


class CredentialsInRepr(MemoryMutant):
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url.text}>"


class UsableAfterClose(MemoryMutant):
    def close(self) -> None:
        pass


class SetupEmptiesTheStore(MemoryMutant):
    def setup(self, *, timeout_seconds: float | None = None) -> None:
        super().setup(timeout_seconds=timeout_seconds)
        for record in list(self.tables.records.values()):
            self.tables.remove(record)
