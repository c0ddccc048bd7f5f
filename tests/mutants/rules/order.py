"""Mutants of the rules about order."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable
from typing import Any

from module_sdk_memory.filters import sort_key

from module_sdk.backends import Query, Sort, StoredRows, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedSelection, ChangedSort, MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.sql import SQLStatementMutant


@mutant("24", "oldest first", clause="ORDER-01")
class OldestFirst(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (-record.created_at, record.id)


@mutant("25", "created_at in milliseconds", clause="ORDER-02")
class TimesInMilliseconds(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at // 1_000, record.id)


@mutant("26", "created_at in floats", clause="ORDER-07")
class TimesInFloats(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at / 1_000_000, record.id)


@mutant("27", "ties by insertion", clause="ORDER-03")
class TiesByInsertion(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at, list(self.tables.records).index(record.id))


@mutant("28", "ties by id ascending", clause="ORDER-03")
class TiesByIdAscending(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at, -int(record.id.replace("-", ""), 16))


@mutant("29", "limit before sort", clause="ORDER-05")
class LimitBeforeSort(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer(itertools.islice(found, limit), None)


@mutant("30", "order by updated_at", clause="ORDER-06")
class OrderedByUpdate(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.updated_at, record.id)


@mutant("31", "limit=0 means no limit", clause="ORDER-05")
class ZeroMeansNoLimit(MemoryMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> Any:
        return super().find(primitive, arguments, limit if limit != 0 else None, timeout_seconds)


@mutant("63", "page without tie-break repeats rows", clause="ORDER-09")
class PagesWithoutTieBreak(MemoryMutant):
    """Sorts ties in another order on every second page, as a query planner may."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        records = sorted(self.select(query), key=lambda record: record.id, reverse=bool(offset // limit % 2))
        records.sort(key=lambda record: sort_key(record, sort)[:2], reverse=sort.descending)
        return [record.row() for record in records[offset : offset + limit]]


@mutant("r22", "times cut to seconds", clause="ORDER-02")
class TimesInSeconds(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at // 1_000_000, record.id)


@mutant("r25", "sorted by the text of the time", clause="ORDER-07")
class OrderedByTextOfTime(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (str(record.created_at), record.id)


@mutant("x26", "order of arrival", clause="ORDER-04")
class ArrivalOrder(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return list(self.tables.records).index(record.id)


@mutant("x27", "time never goes back", clause="ORDER-08")
class TimeNeverGoesBack(MemoryMutant):
    """Orders a record by the latest time of all records up to it."""

    def rank(self, record: TaskRecord) -> Any:
        seen = itertools.takewhile(lambda other: other is not record, self.tables.records.values())
        return (max([record.created_at, *(other.created_at for other in seen)]), record.id)


@mutant("x51", "the limit applied per key", clause="ORDER-05")
class LimitOfEachKey(MemoryMutant):
    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        found = sorted(self.with_prefix(organization, start), key=self.rank, reverse=True)
        by_key: dict[str | None, list[TaskRecord]] = {}
        for record in found:
            by_key.setdefault(record.task_key, []).append(record)
        kept = {record.id for records in by_key.values() for record in records[:limit]}
        return [record.row() for record in found if record.id in kept]


@mutant("x74", "None sorts last", clause="ORDER-09")
class NoneSortedLast(ChangedSort):
    def key(self, record: TaskRecord, sort: Sort) -> Any:
        value = getattr(record, sort.field)
        return (value is None, value or 0 if value is None else value, record.id)


@mutant("x75", "text sorts by locale", clause="ORDER-09")
class SortedByLocale(ChangedSort):
    def key(self, record: TaskRecord, sort: Sort) -> Any:
        value = getattr(record, sort.field)
        return (value is not None, value.casefold() if isinstance(value, str) else value or 0, record.id)


@mutant("x76", "progress sorts as text of few digits", clause="ORDER-09")
class SortedAsText(ChangedSort):
    def key(self, record: TaskRecord, sort: Sort) -> Any:
        value = getattr(record, sort.field)
        return (value is not None, f"{value:g}" if isinstance(value, float) else value or 0, record.id)


@mutant("x77", "ties of pages always ascend", clause="ORDER-09")
class TiesAlwaysAscending(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        chosen = sorted(self.select(query), key=lambda record: record.id)
        chosen.sort(key=lambda record: sort_key(record, sort)[:-1], reverse=sort.descending)
        return [record.row() for record in chosen[offset : offset + limit]]


@mutant("x163", "ties by rowid", clause="ORDER-03")
class TiesByRowid(SQLStatementMutant):
    replacements = (("ORDER BY t.created_at DESC, t.id DESC", "ORDER BY t.created_at DESC, t.rowid"),)


@mutant("x164", "seconds in ORDER BY", clause="ORDER-02")
class SecondsInOrder(SQLStatementMutant):
    replacements = (("ORDER BY t.created_at DESC", "ORDER BY t.created_at / 1000000 DESC"),)


@mutant("x165", "LIMIT before ORDER BY", clause="ORDER-05")
class LimitBeforeOrder(SQLStatementMutant):
    """Reads the first rows with a prefix, and sorts only those."""

    replacements = (("ORDER BY t.created_at DESC, t.id DESC LIMIT :limit) AS picked", "LIMIT :limit) AS picked"),)


@mutant("x179", "milliseconds on PostgreSQL", clause="ORDER-02", on="postgresql")
class MillisecondsInOrder(SQLStatementMutant):
    replacements = (("ORDER BY t.created_at DESC", "ORDER BY t.created_at / 1000 DESC"),)


@mutant("x183", "DATETIME on MariaDB", clause="ORDER-02", on="mariadb")
class DatetimeOnMariaDB(SQLStatementMutant):
    """Orders times as DATETIME, which has no fractions of a second."""

    replacements = (("ORDER BY t.created_at DESC", "ORDER BY CAST(t.created_at / 1000000 AS UNSIGNED) DESC"),)


@mutant("x199", "dates in MongoDB", clause="ORDER-02")
class MillisecondsInMongo(MongoMutant):
    """Stores times as dates, which have milliseconds."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        written = record._replace(created_at=record.created_at // 1_000 * 1_000)
        stored = super().store_create(written, deadline)
        return record if stored == written else stored


@mutant("x206", "pages cut at 500", clause="ORDER-09")
class PageCut(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        return super().store_page(query, sort, offset, min(limit, 500), deadline)


@mutant("s11", "pages sort created_at in floats", clause="ORDER-07")
class PagesCreatedInFloats(ChangedSort):
    """Sorts pages by seconds as a float, like the scores of a sorted set."""

    def key(self, record: TaskRecord, sort: Sort) -> Any:
        if sort.field == "created_at":
            return sort.key(record.created_at / 1_000_000, record.id)
        return super().key(record, sort)


@mutant("s12", "time ranges in floats", clause="ORDER-07")
class TimeFiltersInFloats(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.field not in ("created_at", "updated_at"):
            return super().meets(record, condition, query)
        is_later = getattr(record, condition.field) / 1_000_000 >= condition.value / 1_000_000
        return bool(is_later == (condition.operator == "at_least"))


@mutant("s15", "limits of 32 bits", clause="ORDER-05")
class LimitInt32(MemoryMutant):
    """Sends the limits of lookups as 32-bit integers."""

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        struct.pack("<i", limit or 0)
        return super().answer(found, limit)
