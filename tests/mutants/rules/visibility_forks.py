"""Mutants that fail in a child that was forked during a call of another thread (SEE-07)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from module_sdk_mongo.manager import inherited
from module_sdk_redis import scripts
from module_sdk_redis.scripts import Script

from module_sdk.backends import Change, Query, StoredRows, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import ChangedCalls
from tests.mutants.stores.sql import SQLMutant


@mutant("t321", "a lock of updates is lost in a fork", clause="SEE-07")
class UpdateLockLostInFork(MemoryMutant):
    """Updates take a lock of the manager that a child does not replace."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.updating = threading.Lock()

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with self.updating:
            time.sleep(0.002)
            return super().store_update(task_id, organization, change, deadline)


@mutant("t322", "a lock of all managers is lost in a fork", clause="SEE-07")
class ClassLockLostInFork(SQLMutant):
    """Counts take a lock that all managers of the process share, such as that of a cache of statements."""

    statements_lock: ClassVar[threading.Lock] = threading.Lock()

    def store_count(self, query: Query, deadline: float) -> int:
        with self.statements_lock:
            time.sleep(0.002)
            return super().store_count(query, deadline)


@mutant("t323", "a lock around a script is lost in a fork", clause="SEE-07")
class ScriptLockLostInFork(ChangedCalls):
    """Creates take a lock that a child does not replace."""

    creating: threading.Lock | None = None

    def run(self, original: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        if script.text != scripts.CREATE.text:
            return original(script, *args, **kwargs)
        lock = self.creating = self.creating or threading.Lock()
        with lock:
            time.sleep(0.002)
            return original(script, *args, **kwargs)


@mutant("t324", "a condition keeps the parent's lock", clause="SEE-07")
class ConditionOfTheParent(MemoryMutant):
    """Lookups by user take a condition whose lock a child does not replace."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.changed = threading.Condition(threading.Lock())

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        with self.changed:
            time.sleep(0.002)
            return super().store_find_by_user(organization, user, limit, deadline)


@mutant("t325", "a child continues with half a change", clause="SEE-07")
class HalfAChangeInTheChild(MemoryMutant):
    """Changes a record in two steps under the lock. A child replaces the lock, but keeps the first step."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with self.tables.lock:
            row = super().store_update(task_id, organization, change, deadline)
            if row is not None and change.ends:
                whole = self.tables.records[task_id]
                self.replace(whole, finished_at=None, result=None, error=None)
                time.sleep(0.003)
                self.tables.records[task_id] = whole
            return row

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        with self.tables.lock:
            return super().store_get(task_id, organization, deadline)


@mutant("t326", "a child waits for threads of its parent", clause="SEE-07")
class WorkersOfTheParent(MongoMutant):
    """A child has its own client, but passes its calls to threads that only the parent has."""

    def store_after_fork(self) -> None:
        inherited.append(self.connection)
        workers = self.workers
        self.renew()
        self.workers = workers


@mutant("t327", "a child uses the connections of its parent", clause="SEE-07", on="postgresql")
class ConnectionsOfTheParent(SQLMutant):
    """A child keeps the connections of its parent, idle or in use."""

    def store_after_fork(self) -> None:
        pass
