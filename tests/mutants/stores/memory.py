"""Correct stores in memory, with a method to override for each bug."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from module_sdk_memory.filters import sort_key
from module_sdk_memory.manager import MemoryTaskManager

from module_sdk.backends import Capabilities, Change, Query, Sort, StoredRow, StoredRows, TaskRecord
from tests.mutants.stores.opening import Opened


class MemoryMutant(Opened, MemoryTaskManager):
    """A correct store in memory, with one overridable method for each step of a lookup that can go wrong."""

    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id == organization

    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id == user

    def has_key(self, key: str, wanted: str) -> bool:
        return key == wanted

    def starts(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix)

    def rank(self, record: TaskRecord) -> Any:
        """Return the sort key of a lookup, whose rows are in descending order."""
        return (record.created_at, record.id)

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        """Return the rows of the records, sorted and limited."""
        return [record.row() for record in sorted(found, key=self.rank, reverse=True)[:limit]]

    def scoped(self, organization: str) -> list[TaskRecord]:
        """Return the records of the organization, in the order of writing."""
        return [record for record in self.tables.records.values() if self.in_scope(record, organization)]

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        def find() -> StoredRows:
            return self.answer([r for r in self.scoped(organization) if self.has_user(r, user)], limit)

        return self.tables.read_whole(find, deadline)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        def find() -> StoredRows:
            keyed = [r for r in self.scoped(organization) if r.task_key is not None and self.has_key(r.task_key, key)]
            return self.answer(keyed, limit)

        return self.tables.read_whole(find, deadline)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        return self.tables.read_whole(lambda: self.answer(self.with_prefix(organization, start), limit), deadline)

    def with_prefix(self, organization: str, prefix: str) -> list[TaskRecord]:
        return [r for r in self.scoped(organization) if r.task_key is not None and self.starts(r.task_key, prefix)]

    def replace(self, record: TaskRecord, **fields: Any) -> StoredRow:
        """Overwrite fields of a stored record, and return its new row."""
        self.tables.records[record.id] = record._replace(**fields)
        return self.tables.records[record.id].row()


class ChangedRows(MemoryMutant):
    """A store that passes each row of a lookup through `changed`."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> Any:
        found = super().find(primitive, arguments, limit, timeout_seconds)
        found[:] = [self.changed(row) for row in found]
        return found

    def changed(self, row: Any) -> Any:
        raise NotImplementedError


def like(pattern: str, text: str, *, escape: str = "") -> bool:
    """Return whether a text matches a pattern of SQL's LIKE, with the case respected."""
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, "")))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def bare(text: str) -> str:
    """Return the text without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


Update = Callable[[TaskRecord, Change], dict[str, Any]]


class ChangedUpdates(MemoryMutant):
    """A store that makes the change that `planned` returns for the current record."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.tables.records.get(task_id)
        planned = change if record is None else self.planned(record, change)
        return super().store_update(task_id, organization, planned, deadline)

    def planned(self, record: TaskRecord, change: Change) -> Change:
        raise NotImplementedError


def with_fields(change: Change, allowed: tuple[Any, ...], **fields: Any) -> Change:
    return Change(change.now, allowed, {**change.fields, **fields}, change.starts, change.ends)


class ChangedSelection(MemoryMutant):
    """A store whose pages and counts call `meets` for each record and filter."""

    def select(self, query: Query) -> Iterator[TaskRecord]:
        for record in list(self.tables.records.values()):
            in_scope = query.organization in (None, record.organization_id)
            if in_scope and all(self.meets(record, condition, query) for condition in query.conditions):
                yield record

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        plain = Query(query.organization, (condition,))
        return any(found is record for found in super().select(plain))


class ChangedSort(MemoryMutant):
    """A store whose pages are in the order of `key`."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        chosen = sorted(self.select(query), key=lambda record: self.key(record, sort), reverse=sort.descending)
        return [record.row() for record in chosen[offset : offset + limit]]

    def key(self, record: TaskRecord, sort: Sort) -> Any:
        return sort_key(record, sort)


class SharedMemory(MemoryMutant):
    """A correct store that claims to be shared, which is true of the managers of one process."""

    capabilities = Capabilities(bounded=True, shared=True)
