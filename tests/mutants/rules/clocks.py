"""Mutants that give a new task a wrong time (ORDER-10 to ORDER-12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest import mock

from module_sdk_mongo import manager as mongo_manager
from module_sdk_mongo import updates
from module_sdk_sql.queries import Statements

from module_sdk.backends import TaskRecord
from module_sdk.domain.timestamps import LAST
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant


class CreatesAfterARead(MemoryMutant):
    """A correct store in memory, with overridable methods that decide how the earlier tasks of a key move a new one."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with self.tables.lock:
            existing = self.tables.records.get(record.id) or self.holder(record)
            if existing is not None:
                return existing
            newest = max((r.created_at for r in self.earlier(record) if self.counts(r, record)), default=None)
            new = self.moved(record, newest)
            self.tables.put(new)
            return self.returned(record, new)

    def earlier(self, record: TaskRecord) -> Iterable[TaskRecord]:
        if record.task_key is None:
            return []
        return [r for r in self.scoped(record.organization_id) if r.task_key == record.task_key]

    def counts(self, earlier: TaskRecord, record: TaskRecord) -> bool:
        return earlier.created_at <= record.horizon()

    def moved(self, record: TaskRecord, newest: int | None) -> TaskRecord:
        return record.after(newest)

    def returned(self, given: TaskRecord, new: TaskRecord) -> TaskRecord:
        return new


@mutant("o1", "new tasks keep the time of their host", clause="ORDER-10")
class NotMoved(CreatesAfterARead):
    def moved(self, record: TaskRecord, newest: int | None) -> TaskRecord:
        return record


@mutant("o2", "a new task ties with the newest of its key", clause="ORDER-10")
class MovedToATie(CreatesAfterARead):
    def moved(self, record: TaskRecord, newest: int | None) -> TaskRecord:
        return record.after(None if newest is None else newest - 1)


@mutant("o3", "a new task comes a second after the newest", clause="ORDER-10")
class MovedByASecond(CreatesAfterARead):
    def moved(self, record: TaskRecord, newest: int | None) -> TaskRecord:
        return record.after(None if newest is None else newest + 999_999)


@mutant("o4", "only active tasks of a key count", clause="ORDER-10")
class OnlyActiveTasksCount(CreatesAfterARead):
    def counts(self, earlier: TaskRecord, record: TaskRecord) -> bool:
        return earlier.active_key is not None and super().counts(earlier, record)


@mutant("o5", "only tasks of the same second count", clause="ORDER-10")
class OnlyTasksOfTheSameSecondCount(CreatesAfterARead):
    def counts(self, earlier: TaskRecord, record: TaskRecord) -> bool:
        return earlier.created_at // 1_000_000 == record.created_at // 1_000_000


@mutant("o6", "an import of the far future hides the other tasks of its key", clause="ORDER-10")
class OnlyTheNewestIsLookedAt(CreatesAfterARead):
    """Looks only at the newest task of the key, which may be beyond the horizon."""

    def earlier(self, record: TaskRecord) -> Iterable[TaskRecord]:
        return sorted(super().earlier(record), key=self.rank)[-1:]


@mutant("o7", "a moved task is returned with the time that was given", clause="ORDER-10")
class MovedTaskNotReturned(CreatesAfterARead):
    def returned(self, given: TaskRecord, new: TaskRecord) -> TaskRecord:
        return given


@mutant("o8", "an import of the year 9999 pulls new tasks along", clause="ORDER-11")
class PulledAlongByTheFuture(CreatesAfterARead):
    def counts(self, earlier: TaskRecord, record: TaskRecord) -> bool:
        return earlier.created_at < LAST


@mutant("o9", "an import of tomorrow pulls new tasks along", clause="ORDER-11")
class PulledAlongByATomorrow(CreatesAfterARead):
    def counts(self, earlier: TaskRecord, record: TaskRecord) -> bool:
        return earlier.created_at <= record.created_at + 25 * 3_600_000_000


@mutant("o10", "tasks of other organizations count", clause="ORDER-11")
class MovedByOtherOrganizations(CreatesAfterARead):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return True


@mutant("o11", "tasks of other keys count", clause="ORDER-11")
class MovedByOtherKeys(CreatesAfterARead):
    def earlier(self, record: TaskRecord) -> Iterable[TaskRecord]:
        return self.scoped(record.organization_id)


@mutant("o12", "the time of a fast host is not bounded", clause="ORDER-12")
class ClockNotBoundInRedis(RedisMutant):
    replacements = (("  elseif time > latest then\n    return latest\n", ""),)


@mutant("o13", "the time of a slow host is not bounded", clause="ORDER-12")
class SlowClockNotBoundInRedis(RedisMutant):
    replacements = (("if time < earliest then\n    return earliest", "if time < earliest then\n    return time"),)


@mutant("o14", "no time is bounded", clause="ORDER-12", on="postgresql")
class ClockNotBoundInSQL(SQLMutant):
    """Each statement uses the writer's time unchanged."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        self.statements = Unbounded(self.dialect, self.tables)


class Unbounded(Statements):
    def bounded(self, moment: str, keeps_server_time: bool) -> str:
        return moment


@mutant("o15", "the time of an update is not bounded", clause="ORDER-12", on="mariadb")
class OnlyNewTasksBoundInSQL(SQLMutant):
    """An update uses the writer's time unchanged."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        self.statements = UnboundedUpdates(self.dialect, self.tables)


class UnboundedUpdates(Statements):
    def bounded(self, moment: str, keeps_server_time: bool) -> str:
        return moment if moment == ":now" else super().bounded(moment, keeps_server_time)


@mutant("o16", "the application's own clock is bounded", clause="ORDER-12", on="postgresql")
class OwnClockBoundInSQL(SQLMutant):
    @property
    def keeps_server_time(self) -> bool:
        return True


@mutant("o17", "the time of a new task is not bounded", clause="ORDER-12")
class ClockNotBoundInMongo(MongoMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with mock.patch.object(mongo_manager, "upsert_bounded", unbounded):
            return super().store_create(record, deadline)


def unbounded(document: dict[str, Any]) -> list[dict[str, Any]]:
    with mock.patch.object(updates, "bounded", lambda moment: moment):
        return updates.upsert_bounded(document)
