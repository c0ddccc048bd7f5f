"""Mutants of the rules about the read model."""

from __future__ import annotations

import re
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from module_sdk.backends import Change, ManagerOptions, Query, Sort, StoredRows, Task, TaskRecord
from module_sdk.errors import TaskBackendError
from tests.mutants.marking import mutant
from tests.mutants.stores.facade import Patch, PatchedFacade, original
from tests.mutants.stores.memory import ChangedSelection, MemoryMutant, like
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import ChangedConnections, SQLStatementMutant


def without_empty(filters: Mapping[str, Any] | None) -> Any:
    return {name: value for name, value in (filters or {}).items() if value != []}


LIST = original("module_sdk.models.read_model:BackgroundTasks.list")


def list_without_errors(self: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return LIST(self, *args, **kwargs)
    except TaskBackendError:
        return {"rows": [], "total_rows": 0, "page": 0, "page_size": 25, "filters": {}, "sort": {}, "next": None}


OR_IN_PARENTHESES = re.compile(r"\((t\.\w+ IS NULL OR (?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")
"""A term `(a IS NULL OR …)` of a WHERE clause."""


@mutant("65", "filter list [] ignored", clause="MODEL-03")
class EmptyListIgnored(MemoryMutant):
    def page(self, *, filters: Any = None, **rest: Any) -> Any:
        return super().page(filters=without_empty(filters), **rest)

    def count(self, *, filters: Any = None, **rest: Any) -> int:
        return super().count(filters=without_empty(filters), **rest)


@mutant("x11", "contains folds case", clause="MODEL-05")
class ContainsFoldsCase(MemoryMutant):
    def select(self, query: Query) -> Any:
        exact = tuple(c for c in query.conditions if c.operator != "contains")
        folded = [c for c in query.conditions if c.operator == "contains"]
        for record in super().select(Query(query.organization, exact)):
            if all(c.value.lower() in (getattr(record, c.field) or "").lower() for c in folded):
                yield record


@mutant("x12", "time ranges include their end", clause="MODEL-06")
class RangeClosed(MemoryMutant):
    def select(self, query: Query) -> Any:
        widened = tuple(
            c._replace(value=c.value + 1) if c.operator == "below" and isinstance(c.value, int) else c
            for c in query.conditions
        )
        return super().select(Query(query.organization, widened))


@mutant("x28", "only the first filter counts", clause="MODEL-02")
class FirstFilterOnly(MemoryMutant):
    def select(self, query: Query) -> Any:
        return super().select(Query(query.organization, query.conditions[:1]))


@mutant("x29", "a filter for None ignored", clause="MODEL-04")
class NoneFiltersNothing(MemoryMutant):
    def select(self, query: Query) -> Any:
        kept = tuple(c for c in query.conditions if c.value not in ((None,), ("",)))
        return super().select(Query(query.organization, kept))


@mutant("x30", "counts capped", clause="MODEL-07")
class CountIsCapped(MemoryMutant):
    def store_count(self, query: Query, deadline: float) -> int:
        return min(super().store_count(query, deadline), 3)


@mutant("x31", "a page past the end repeats the last", clause="MODEL-08")
class LastPageForever(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        last = max(0, self.store_count(query, deadline) - limit)
        return super().store_page(query, sort, min(offset, last), limit, deadline)


@mutant("x32", "pages by creation", clause="MODEL-09")
class PagesByCreation(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        used = Sort("created_at", descending=True) if sort == Sort("updated_at", descending=True) else sort
        return super().store_page(query, used, offset, limit, deadline)


@mutant("x67", "a count that ignores one filter", clause="MODEL-02")
class CountIgnoresAFilter(MemoryMutant):
    def store_count(self, query: Query, deadline: float) -> int:
        kept = tuple(c for c in query.conditions if c.field != "module")
        return super().store_count(Query(query.organization, kept), deadline)


@mutant("x68", "at least means above", clause="MODEL-06")
class AtLeastIsAbove(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator == "at_least" and condition.field in ("created_at", "updated_at"):
            return bool(getattr(record, condition.field) > condition.value)
        return super().meets(record, condition, query)


@mutant("x69", "startswith folds case", clause="MODEL-05")
class StartsWithFoldsCase(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator in ("at_least", "below") and isinstance(condition.value, str):
            value = (getattr(record, condition.field) or "").lower()
            wanted = condition.value.lower()
            return value >= wanted if condition.operator == "at_least" else value < wanted
        return super().meets(record, condition, query)


@mutant("x70", "contains has wildcards", clause="MODEL-05")
class ContainsHasWildcards(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator == "contains":
            return like(f"%{condition.value}%", getattr(record, condition.field) or "\x00")
        return super().meets(record, condition, query)


@mutant("x71", "only the first of a list counts", clause="MODEL-03")
class FirstOfAList(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator == "any_of":
            return super().meets(record, condition._replace(value=condition.value[:1]), query)
        return super().meets(record, condition, query)


@mutant("x78", "an offset past the end wraps", clause="MODEL-08")
class OffsetWraps(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        total = max(1, self.store_count(query, deadline))
        return super().store_page(query, sort, offset % total, limit, deadline)


@mutant("x79", "a view folds the case of ids", clause="MODEL-10")
class ViewFoldsIds(MemoryMutant):
    def get(self, task_id: Any, **rest: Any) -> Task | None:
        return super().get(task_id.lower() if isinstance(task_id, str) else task_id, **rest)


@mutant("x142", "the read model hides errors", clause="MODEL-12")
class ReadModelHidesErrors(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.models.read_model:BackgroundTasks.list", list_without_errors),)


@mutant("x144", "a page lacks a field", clause="MODEL-01")
class PageWithoutNext(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.models.read_model:BackgroundTasks.list",
            lambda self, *args, **kwargs: {k: v for k, v in LIST(self, *args, **kwargs).items() if k != "next"},
        ),
    )


@mutant("x145", "the read model deletes", clause="MODEL-11")
class ReadModelDeletes(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.models.read_model:BackgroundTasks.delete", lambda self, *args, **kwargs: None),
    )


@mutant("x205", "lists of filters cut at 1,000", clause="MODEL-03")
class ListCut(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        value = condition.value[:1_000] if condition.operator == "any_of" else condition.value
        return super().meets(record, condition._replace(value=value), query)


@mutant("x207", "an updated task twice in pages of Redis", clause="MODEL-09")
class PagesKeepOldEntriesInRedis(RedisMutant):
    replacements = (("redis.call('ZREM', pages, old)\n", ""),)


@mutant("s16", "offsets of 32 bits", clause="MODEL-08")
class OffsetInt32(MemoryMutant):
    """Sends the offsets of pages as 32-bit integers."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        struct.pack("<i", offset)
        return super().store_page(query, sort, offset, limit, deadline)


@mutant("s17", "contains and startswith of an id find nothing", clause="MODEL-05")
class IdFieldNotMapped(ChangedSelection):
    """Filters parts of ids by a field `id`, which has another name in the store."""

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        is_lost = condition.field == "id" and condition.operator != "any_of"
        return not is_lost and super().meets(record, condition, query)


@mutant("s27", "an import leaves out the index of statuses", clause="MODEL-02")
class ImportNotIndexedByStatus(MemoryMutant):
    """Filters by status in an index that imports do not update."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.indexed: set[str] = set()

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        if stored is record:
            self.indexed.add(record.id)
        return stored

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and "status" in change.fields:
            self.indexed.add(task_id)
        return row

    def select(self, query: Query) -> Any:
        found = super().select(query)
        by_status = any(condition.field == "status" for condition in query.conditions)
        return (record for record in found if record.id in self.indexed) if by_status else found


@mutant("s30", "an OR without parentheses", clause="MODEL-03")
class NoParentheses(SQLStatementMutant):
    """Joins `a IS NULL OR a = ?` with other terms by AND, without parentheses."""

    def rewrite(self, sql: str) -> str:
        return OR_IN_PARENTHESES.sub(r"\1", sql)


@mutant("s31", "a parameter per value of a list", clause="MODEL-03")
class ParameterPerValue(ChangedConnections):
    """Binds a parameter per value of a list; SQLite accepts 32,766 by default."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        vars(self.dialect)["any_of"] = self.any_of

    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        parameters = {f"{name}_{number}": value for number, value in enumerate(values)}
        return f"{column} IN ({', '.join(f':{parameter}' for parameter in parameters)})", parameters

    def changed(self, connection: Any) -> Any:
        # The SQLite library of a system may be built with another default.
        connection.raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
        return connection
