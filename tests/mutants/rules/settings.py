"""Mutants of what settings and capabilities promise: `auto_setup`, timeouts, `durable`, the namespace, the clock."""

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

from module_sdk.backends import Capabilities, Change, ConfigurationError, ManagerOptions, TaskRecord
from module_sdk.store.deadlines import earliest
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.opening import Opened
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import ChangedLinks, SQLMutant
from tests.mutants.stores.wire import OverTheWire

LATE_SECONDS = 30


class MemoryWithSchema(MemoryMutant):
    """A good store in memory that must be set up before its first use."""

    set_up: ClassVar[set[tuple[str, str]]] = set()

    def store_open(self, create: bool, deadline: float) -> None:
        place = (self.url.text, self.options.namespace)
        if create:
            self.set_up.add(place)
        if place not in self.set_up:
            raise self.missing_schema()


@mutant("t401", "auto_setup=False sets up", clause="DISC-09")
class SetsUpAnyway(SQLMutant):
    """Sets the store up at first use, whatever the options say."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(True, deadline)


@mutant("t402", "auto_setup=False makes the file", clause="DISC-09")
class LeavesAnEmptyFile(SQLMutant):
    """Makes the empty file before it finds that it may not set up."""

    def store_open(self, create: bool, deadline: float) -> None:
        self.dialect.check_location(True)
        super().store_open(create, deadline)


@mutant("t403", "opening a manager makes the folder", clause="DISC-09")
class MakesTheFolder(SQLMutant):
    """Makes the folder that the file is to be in as soon as it is opened."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        path: Path = self.dialect.path  # type: ignore[attr-defined]  # SQLite's has one
        path.parent.mkdir(parents=True, exist_ok=True)


@mutant("t404", "auto_setup=False leaves a key", clause="DISC-09")
class LeavesAKey(RedisMutant):
    """Notes that somebody has looked, before it looks for the schema."""

    def check_server(self, deadline: float) -> None:
        super().check_server(deadline)
        self.router.read("SET", f"{self.layout.prefix}seen", time.time_ns(), deadline=deadline)


@mutant("t405", "auto_setup=False makes indexes", clause="DISC-09")
class MakesIndexes(MongoMutant):
    """Makes the indexes, and their collection with them, before it looks for the version."""

    def check_schema(self, create: bool) -> None:
        self.connection.tasks.create_indexes(list(INDEXES.values()))
        super().check_schema(create)


@mutant("t406", "auto_setup=False makes the first table", clause="DISC-09", on="postgresql")
class MakesTheFirstTable(SQLMutant):
    """Makes the table of the version before it reads the version from it."""

    def check_schema(self, link: Any, create: bool, deadline: float) -> None:
        if read_version(link, self.statements, deadline) == 0:
            link.execute(f"CREATE TABLE IF NOT EXISTS {self.tables.meta_name} (name text, value text)", (), deadline)
        super().check_schema(link, create, deadline)


@mutant("t407", "writes set up", clause="DISC-09")
class WritesSetUp(MemoryWithSchema):
    """Reads respect `auto_setup`; a create makes what is missing."""

    def create(self, task: Any, *, timeout_seconds: float | None = None) -> Any:
        if not self.opening.is_open:
            self.setup(timeout_seconds=timeout_seconds)
        return super().create(task, timeout_seconds=timeout_seconds)


@mutant("t408", "setup obeys auto_setup=False", clause="DISC-09")
class SetupObeysTheOption(MemoryWithSchema):
    """`setup` creates nothing either."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create and self.options.auto_setup, deadline)


@mutant("t409", "a driver's own wait for a lock", clause="FAIL-16")
class DriverWaitsForALock(ChangedLinks):
    """Lets SQLite wait for a lock for as long as its own setting says."""

    def changed(self, link: Any) -> Any:
        link.raw.execute(f"PRAGMA busy_timeout={LATE_SECONDS * 1_000}")
        return link


@mutant("t410", "a locked database is tried again without end", clause="FAIL-16")
class TriesWithoutEnd(ChangedLinks):
    """Begins a transaction as often as it takes, until somebody ends the other one."""

    def changed(self, link: Any) -> Any:
        run = link.run

        def run_until_free(sql: str, arguments: Sequence[Any], deadline: float) -> Any:
            end = time.monotonic() + LATE_SECONDS
            while True:
                try:
                    return run(sql, arguments, end if sql.startswith("BEGIN") else deadline)
                except sqlite3.OperationalError as error:
                    if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                        raise

        link.run = run_until_free
        return link


@mutant("t411", "durable in the process's memory", clause="SEE-04")
class DurableInMemory(MemoryMutant):
    """Claims to be durable, and keeps everything for as long as the process lives."""

    capabilities = Capabilities(bounded=True, durable=True)


@mutant("t412", "durable once it is closed", clause="SEE-04")
class DurableWhenClosed(SQLMutant):
    """Durable and of one process: new tasks reach the file with the first other call, or at the end."""

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


@mutant("t413", "timeout_seconds is ten seconds", clause="FAIL-06")
class TimeoutOptionIgnored(OverTheWire):
    """Gives a call without a timeout ten seconds, whatever the options say."""

    def deadline(self, timeout_seconds: float | None) -> float:
        return earliest(time.monotonic() + (10.0 if timeout_seconds is None else timeout_seconds))


@mutant("t414", "an update by id crosses namespaces", clause="DISC-05")
class UpdateCrossesNamespaces(MemoryMutant):
    """Looks for the id in every namespace, since ids are unique."""

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


@mutant("t415", "the payload maximum is the default", clause="BAD-01")
class PayloadMaximumIgnored(MemoryMutant):
    """Refuses payloads beyond the default, whatever `maximum_payload_bytes` says."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.options = ManagerOptions(
            namespace=options.namespace,
            clock=options.clock,
            auto_setup=options.auto_setup,
            timeout_seconds=options.timeout_seconds,
        )


@mutant("t416", "a page sets up", clause="DISC-09")
class PagesSetUp(MemoryWithSchema):
    """A screen of an empty store makes what is missing, so that it has something to show."""

    def page(self, **arguments: Any) -> Any:
        if not self.opening.is_open:
            self.setup()
        return super().page(**arguments)


@mutant("t417", "first use does not set up", clause="DISC-09")
class FirstLookupDoesNotSetUp(MemoryWithSchema):
    """With `auto_setup` writes set the store up, and a lookup before them finds no schema."""

    def find(self, *args: Any) -> Any:
        if not self.opening.is_open and self.tables.records == {}:
            self.call(self.store_open, False, time.monotonic())
        return super().find(*args)


@mutant("t418", "a file of something else is overwritten", clause="DISC-10")
class OverwritesSomethingElse(SQLMutant):
    """Begins anew where the file is no database."""

    def store_open(self, create: bool, deadline: float) -> None:
        try:
            super().store_open(create, deadline)
        except ConfigurationError as error:
            if "is not a SQLite database" not in str(error):
                raise
            path: Path = self.dialect.path  # type: ignore[attr-defined]  # SQLite's has one
            path.write_bytes(b"")
            super().store_open(create, deadline)


@mutant("t419", "a wrong place is a dead store", clause="DISC-10")
class WrongPlaceIsDead(SQLMutant):
    """Says of a place where no store can be what it says of one that cannot be read."""

    def store_open(self, create: bool, deadline: float) -> None:
        try:
            super().store_open(create, deadline)
        except ConfigurationError as error:
            if isinstance(error.__cause__, sqlite3.Error):
                raise error.__cause__ from None
            raise


@mutant("t420", "a lock of threads without a deadline", clause="FAIL-16")
class LockWithoutDeadline(Opened, MemoryTaskManager):
    """Waits for another thread as long as that takes."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with self.tables.lock:
            return super().store_create(record, deadline)
