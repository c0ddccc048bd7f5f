"""Mutants of settings and capabilities: `auto_setup`, timeouts, `durable`, the namespace and the payload maximum."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from module_sdk_memory.manager import MemoryTaskManager
from module_sdk_mongo.schema import INDEXES
from module_sdk_sql.dialects.sqlite.connection import primary_code
from module_sdk_sql.migrations import read_version

from module_sdk.backends import Capabilities, Change, ManagerOptions, TaskRecord
from module_sdk.store.deadlines import earliest
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.opening import Opened
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import ChangedConnections, SQLMutant
from tests.mutants.stores.wire import OverTheWire

LATE_SECONDS = 30


class MemoryWithSchema(MemoryMutant):
    """A correct store in memory that must be set up before its first use."""

    set_up: ClassVar[set[tuple[str, str]]] = set()

    def store_open(self, create: bool, deadline: float) -> None:
        key = (self.url.text, self.options.namespace)
        if create:
            self.set_up.add(key)
        if key not in self.set_up:
            raise self.missing_schema()


@mutant("t401", "auto_setup=False sets up", clause="DISC-09")
class SetsUpAnyway(SQLMutant):
    """Sets the store up at first use even if `auto_setup` is false."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(True, deadline)


@mutant("t402", "auto_setup=False creates the file", clause="DISC-09")
class LeavesAnEmptyFile(SQLMutant):
    """Creates an empty file before it finds that it must not set up."""

    def store_open(self, create: bool, deadline: float) -> None:
        self.dialect.prepare_location(True)
        super().store_open(create, deadline)


@mutant("t403", "opening a manager creates the folder", clause="DISC-09")
class MakesTheFolder(SQLMutant):
    """Creates the folder of the file as soon as the manager is opened."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        path: Path = self.dialect.path  # type: ignore[attr-defined]  # SQLite's has one
        path.parent.mkdir(parents=True, exist_ok=True)


@mutant("t404", "auto_setup=False leaves a key", clause="DISC-09")
class LeavesAKey(RedisMutant):
    """Writes a key with the time of the last look before it looks for the schema."""

    def check_server(self, deadline: float) -> None:
        super().check_server(deadline)
        self.router.read("SET", f"{self.layout.prefix}seen", time.time_ns(), deadline=deadline)


@mutant("t405", "auto_setup=False creates indexes", clause="DISC-09")
class MakesIndexes(MongoMutant):
    """Creates the indexes, and thereby their collection, before it looks for the version."""

    def ensure_schema(self, create: bool) -> None:
        self.connection.tasks.create_indexes(list(INDEXES.values()))
        super().ensure_schema(create)


@mutant("t406", "auto_setup=False creates the first table", clause="DISC-09", on="postgresql")
class MakesTheFirstTable(SQLMutant):
    """Creates the table of the version before it reads the version."""

    def ensure_schema(self, connection: Any, create: bool, deadline: float) -> None:
        if read_version(connection, self.statements, deadline) == 0:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self.tables.meta_name} (name text, value text)", (), deadline
            )
        super().ensure_schema(connection, create, deadline)


@mutant("t407", "a create sets the store up despite auto_setup=False", clause="DISC-09")
class WritesSetUp(MemoryWithSchema):
    """Reads respect `auto_setup`, but a create sets the store up."""

    def create(self, task: Any, *, timeout_seconds: float | None = None) -> Any:
        if not self.opening.is_open:
            self.setup(timeout_seconds=timeout_seconds)
        return super().create(task, timeout_seconds=timeout_seconds)


@mutant("t408", "setup creates nothing with auto_setup=False", clause="DISC-09")
class SetupObeysTheOption(MemoryWithSchema):
    """With `auto_setup=False` even an explicit `setup` creates nothing."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create and self.options.auto_setup, deadline)


@mutant("t409", "the driver's own wait for a lock", clause="FAIL-16")
class DriverWaitsForALock(ChangedConnections):
    """Lets SQLite wait for a lock for a fixed time, whatever the deadline is."""

    def changed(self, connection: Any) -> Any:
        connection.raw.execute(f"PRAGMA busy_timeout={LATE_SECONDS * 1_000}")
        return connection


@mutant("t410", "a locked database is retried beyond the deadline", clause="FAIL-16")
class TriesWithoutEnd(ChangedConnections):
    """Retries to begin a transaction until the other transaction ends."""

    def changed(self, connection: Any) -> Any:
        run = connection.run

        def run_until_free(sql: str, arguments: Sequence[Any], deadline: float) -> Any:
            end = time.monotonic() + LATE_SECONDS
            while True:
                try:
                    return run(sql, arguments, end if sql.startswith("BEGIN") else deadline)
                except sqlite3.OperationalError as error:
                    if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                        raise

        connection.run = run_until_free
        return connection


@mutant("t411", "durable in the process's memory", clause="SEE-04")
class DurableInMemory(MemoryMutant):
    """Claims to be durable, but keeps its tasks only while the process lives."""

    capabilities = Capabilities(bounded=True, durable=True)


@mutant("t412", "durable only after the next call", clause="SEE-04")
class DurableWhenClosed(SQLMutant):
    """Claims to be durable, but writes new tasks without a key only at the next other call, such as `close`."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.capabilities = Capabilities(durable=True, bounded=True)
        self.unwritten: list[TaskRecord] = []

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        if record.task_key is None:
            self.unwritten.append(record)
            return record
        return super().store_create(record, deadline)

    def call(self, primitive: Any, *args: Any) -> Any:
        if primitive.__name__ not in ("store_create", "store_open"):
            unwritten, self.unwritten = self.unwritten, []
            for record in unwritten:
                super().store_create(record, time.monotonic() + LATE_SECONDS)
        return super().call(primitive, *args)


@mutant("t413", "timeout_seconds of the options ignored", clause="FAIL-06")
class TimeoutOptionIgnored(OverTheWire):
    """Uses ten seconds for a call without a timeout, whatever the options say."""

    def deadline(self, timeout_seconds: float | None) -> float:
        return earliest(time.monotonic() + (10.0 if timeout_seconds is None else timeout_seconds))


@mutant("t414", "an update by id crosses namespaces", clause="DISC-05")
class UpdateCrossesNamespaces(MemoryMutant):
    """Looks for the id in every namespace."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        own = self.tables
        for tables in [own, *self.shared_tables.values()]:
            if task_id in tables.records:
                self.tables = tables
                try:
                    return super().store_update(task_id, organization, change, deadline)
                finally:
                    self.tables = own
        return None


@mutant("t415", "maximum_payload_bytes ignored", clause="BAD-01")
class PayloadMaximumIgnored(MemoryMutant):
    """Refuses payloads above the default maximum, whatever `maximum_payload_bytes` is."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.options = ManagerOptions(
            namespace=options.namespace,
            clock=options.clock,
            auto_setup=options.auto_setup,
            timeout_seconds=options.timeout_seconds,
        )


@mutant("t416", "a page sets the store up despite auto_setup=False", clause="DISC-09")
class PagesSetUp(MemoryWithSchema):
    """Lookups respect `auto_setup`, but a page sets the store up."""

    def page(self, **arguments: Any) -> Any:
        if not self.opening.is_open:
            self.setup()
        return super().page(**arguments)


@mutant("t417", "a lookup does not set the store up", clause="DISC-09")
class FirstLookupDoesNotSetUp(MemoryWithSchema):
    """With `auto_setup` only writes set the store up, and an earlier lookup finds no schema."""

    def find(self, *args: Any) -> Any:
        if not self.opening.is_open and self.tables.records == {}:
            self.call(self.store_open, False, time.monotonic())
        return super().find(*args)


@mutant("t418", "a file that is not a database is overwritten", clause="DISC-10")
class OverwritesOtherFiles(SQLMutant):
    """Empties a file that is not a database, and sets up a store in it."""

    def store_open(self, create: bool, deadline: float) -> None:
        try:
            super().store_open(create, deadline)
        except sqlite3.DatabaseError as error:
            if "not a database" not in str(error):
                raise
            path: Path = self.dialect.path  # type: ignore[attr-defined]  # SQLite's has one
            path.write_bytes(b"")
            super().store_open(create, deadline)


@mutant("t419", "a wrong location is reported as a dead store", clause="DISC-10")
class WrongLocationIsDead(SQLMutant):
    """Raises the same error for a location that cannot be a store as for a store that cannot be read."""

    def setup_fault(self, error: Exception) -> str | None:
        return None if isinstance(error, sqlite3.Error) else super().setup_fault(error)


@mutant("t420", "a lock between threads without a deadline", clause="FAIL-16")
class LockWithoutDeadline(Opened, MemoryTaskManager):
    """Waits for a lock of another thread without a time limit."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with self.tables.lock:
            return super().store_create(record, deadline)
