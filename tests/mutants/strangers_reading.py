"""Bugs that a stranger put into a store in memory: lookups, pages, counts and gets."""

from __future__ import annotations

import re
import struct
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from module_sdk_memory.selection import matches, sort_key

from module_sdk.backends import Query, Sort, StoredRows, TaskRecord
from module_sdk.rows import LookupResult
from tests.mutants.bases import MemoryMutant, Opened
from tests.mutants.matching import like
from tests.mutants.reading import ChangedSelection, SortedAnew

WRITES: Final = frozenset({"store_create", "store_import", "store_update", "store_prune"})

# --- By id ------------------------------------------------------------------------------------------------------------


class IdFoldsOrganization(MemoryMutant):
    """Reaches a task by id from an organization that differs in case."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = super().store_get(task_id, None, deadline)
        if record is None or organization is None:
            return record
        return record if record.organization_id.lower() == organization.lower() else None


# --- Prefixes and limits ----------------------------------------------------------------------------------------------


class PrefixQuotedByQE(MemoryMutant):
    r"""Matches `^\Q…\E` of PCRE, whose first `\E` ends the quoting."""

    def starts(self, key: str, prefix: str) -> bool:
        quoted, _, pattern = prefix.partition("\\E")
        try:
            return re.match(re.escape(quoted) + pattern, key, re.DOTALL) is not None
        except re.error:
            return key.startswith(prefix)


class LikeEscapedByHash(MemoryMutant):
    """Escapes wildcards by `#`, and `#` itself by nothing."""

    def starts(self, key: str, prefix: str) -> bool:
        return like(re.sub("([%_])", r"#\1", prefix) + "%", key, escape="#")


class LimitInt32(MemoryMutant):
    """Sends limits of lookups as 32 bits."""

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        struct.pack("<i", limit or 0)
        return super().answer(found, limit)


# --- Pages and counts -------------------------------------------------------------------------------------------------


class OffsetInt32(MemoryMutant):
    """Sends offsets of pages as 32 bits."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        struct.pack("<i", offset)
        return super().store_page(query, sort, offset, limit, deadline)


class PagesCreatedInFloats(SortedAnew):
    """Sorts pages by a float of seconds, as a score is."""

    def key(self, record: TaskRecord, sort: Sort) -> Any:
        if sort.field == "created_at":
            return sort.key(record.created_at / 1_000_000, record.id)
        return super().key(record, sort)


class TimeFiltersInFloats(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.field not in ("created_at", "updated_at"):
            return super().meets(record, condition, query)
        is_later = getattr(record, condition.field) / 1_000_000 >= condition.value / 1_000_000
        return bool(is_later == (condition.operator == "at_least"))


class IdFieldNotMapped(ChangedSelection):
    """Asks for parts of a field `id`, which has another name in the store."""

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        is_lost = condition.field == "id" and condition.operator != "any_of"
        return not is_lost and super().meets(record, condition, query)


class PagesCrossNamespaces(MemoryMutant):
    """Scans every namespace whose name begins with its own."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        place = self.url.text.partition("://")[2]
        chosen = [
            record
            for (name, namespace), tables in list(self.shared_tables.items())
            if name == place and namespace.startswith(self.options.namespace)
            for record in tables.records.values()
            if query.organization in (None, record.organization_id) and matches(record, query.conditions)
        ]
        chosen.sort(key=lambda record: sort_key(record, sort), reverse=sort.descending)
        return [record.row() for record in chosen[offset : offset + limit]]


class PagesIterateLive(SortedAnew):
    """Walks the records without the lock, for pages and counts."""

    def select(self, query: Query) -> Any:
        for number, record in enumerate(super().select(query)):
            if number % 8 == 0:
                time.sleep(0.0005)
            yield record

    def store_count(self, query: Query, deadline: float) -> int:
        return sum(1 for _ in self.select(query))


# --- Lookups while others write ---------------------------------------------------------------------------------------


class RowsFetchedAfterIds(MemoryMutant):
    """Takes the ids of a user's tasks, and their rows 20 ms later: what was pruned in between is no row."""

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        ids = [row[0] for row in super().store_find_by_user(organization, user, limit, deadline) if row]
        time.sleep(0.02)
        records = [self.tables.records.get(task_id) for task_id in ids]
        return [record and record.row() for record in records]


class OffsetBatches(MemoryMutant):
    """Reads a user's tasks a hundred at a time, by offset and 5 ms apart."""

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        rows: list[Any] = []
        while True:
            found = super().store_find_by_user(organization, user, None, deadline)
            batch = found[len(rows) : len(rows) + 100]
            rows += batch
            if len(batch) < 100 or (limit is not None and len(rows) >= limit):
                return rows[:limit]
            time.sleep(0.005)


class ForgetsAtWrites(Opened):
    """Remembers something until it writes itself."""

    def call(self, primitive: Callable[..., Any], *args: Any) -> Any:
        if primitive.__name__ in WRITES:
            self.forget()
        return super().call(primitive, *args)

    def forget(self) -> None:
        raise NotImplementedError


class ThreadLocalReads(ForgetsAtWrites, MemoryMutant):
    """Each thread has a snapshot of its own, which only its own writes renew."""

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
        return LookupResult(map(dict, answers[question]), skipped=answers[question].skipped)
