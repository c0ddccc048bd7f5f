"""Mutants of order, limits, rows and the read model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from module_sdk_memory.selection import sort_key

from module_sdk.backends import Query, Sort, StoredRows, TaskRecord
from tests.mutants.bases import MemoryMutant

# --- Order and limit --------------------------------------------------------------------------------------------------


class OldestFirst(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (-record.created_at, record.id)


class TimesInMilliseconds(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at // 1_000, record.id)


class TimesInSeconds(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at // 1_000_000, record.id)


class TimesInFloats(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at / 1_000_000, record.id)


class TiesByInsertion(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at, list(self.tables.records).index(record.id))


class TiesByIdAscending(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.created_at, -int(record.id.replace("-", ""), 16))


class ArrivalOrder(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return list(self.tables.records).index(record.id)


class TimeNeverGoesBack(MemoryMutant):
    """Orders by the latest time seen so far when a record came."""

    def rank(self, record: TaskRecord) -> Any:
        seen = itertools.takewhile(lambda other: other is not record, self.tables.records.values())
        return (max([record.created_at, *(other.created_at for other in seen)]), record.id)


class LimitBeforeSort(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer(itertools.islice(found, limit), None)


class OrderedByUpdate(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (record.updated_at, record.id)


class OrderedByTextOfTime(MemoryMutant):
    def rank(self, record: TaskRecord) -> Any:
        return (str(record.created_at), record.id)


class ZeroMeansNoLimit(MemoryMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> Any:
        return super().find(primitive, arguments, limit if limit != 0 else None, timeout_seconds)


class BatchIsFinal(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer(found, min(limit or 1_000, 1_000))


class PagesWithoutTieBreak(MemoryMutant):
    """A planner that reads ties in another order for each page."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        records = sorted(self.select(query), key=lambda record: record.id, reverse=bool(offset // limit % 2))
        records.sort(key=lambda record: sort_key(record, sort)[:2], reverse=sort.descending)
        return [record.row() for record in records[offset : offset + limit]]


# --- Rows -------------------------------------------------------------------------------------------------------------


class RowsShared(MemoryMutant):
    """Hands out the very rows that it keeps."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: dict[str, dict[str, Any]] = {}

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> Any:
        found = super().find(primitive, arguments, limit, timeout_seconds)
        found[:] = [self.kept.setdefault(row["id"], row) for row in found]
        return found


class ChangedRows(MemoryMutant):
    """Lookups whose rows go through `changed`."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> Any:
        found = super().find(primitive, arguments, limit, timeout_seconds)
        found[:] = [self.changed(row) for row in found]
        return found

    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class ExtraField(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "checkpoint": None}


class LocalTime(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "created_at": row["created_at"].replace("+00:00", "+01:00")}


class TimeWithoutPadding(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "created_at": row["created_at"].replace("+00:00", "").rstrip("0").rstrip(".") + "+00:00"}


class ProgressAsInteger(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "progress": int(row["progress"]) if row["progress"] in (0.0, 1.0) else row["progress"]}


class IdsAsText(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "user_id": str(row["user_id"])}


class LabelWithoutAstral(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": "".join(c if c < "\U00010000" else "?" for c in row["label"])}


# --- The read model ---------------------------------------------------------------------------------------------------


class CountsOutsideTheScope(MemoryMutant):
    def store_count(self, query: Query, deadline: float) -> int:
        return super().store_count(Query(None, query.conditions), deadline)


class EmptyListIgnored(MemoryMutant):
    def page(self, *, filters: Mapping[str, Any] | None = None, **rest: Any) -> Any:
        return super().page(filters=without_empty(filters), **rest)

    def count(self, *, filters: Mapping[str, Any] | None = None, **rest: Any) -> int:
        return super().count(filters=without_empty(filters), **rest)


class FirstFilterOnly(MemoryMutant):
    def select(self, query: Query) -> Any:
        return super().select(Query(query.organization, query.conditions[:1]))


class NoneFiltersNothing(MemoryMutant):
    def select(self, query: Query) -> Any:
        kept = tuple(c for c in query.conditions if c.value not in ((None,), ("",)))
        return super().select(Query(query.organization, kept))


class CountIsCapped(MemoryMutant):
    def store_count(self, query: Query, deadline: float) -> int:
        return min(super().store_count(query, deadline), 3)


class LastPageForever(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        last = max(0, self.store_count(query, deadline) - limit)
        return super().store_page(query, sort, min(offset, last), limit, deadline)


class PagesByCreation(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        by = Sort("created_at", descending=True) if sort == Sort("updated_at", descending=True) else sort
        return super().store_page(query, by, offset, limit, deadline)


class ContainsFoldsCase(MemoryMutant):
    def select(self, query: Query) -> Any:
        exact = tuple(c for c in query.conditions if c.operator != "contains")
        folded = [c for c in query.conditions if c.operator == "contains"]
        for record in super().select(Query(query.organization, exact)):
            if all(c.value.lower() in (getattr(record, c.field) or "").lower() for c in folded):
                yield record


class RangeClosed(MemoryMutant):
    def select(self, query: Query) -> Any:
        widened = tuple(
            c._replace(value=c.value + 1) if c.operator == "below" and isinstance(c.value, int) else c
            for c in query.conditions
        )
        return super().select(Query(query.organization, widened))


def without_empty(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (filters or {}).items() if value != []}
