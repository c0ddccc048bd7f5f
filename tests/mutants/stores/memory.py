"""Good stores in memory, with a seam wherever a bug is put in."""

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
    """A good store in memory, whose lookups go through one seam for each thing that can go wrong in them."""

    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id == organization

    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id == user

    def has_key(self, key: str, wanted: str) -> bool:
        return key == wanted

    def starts(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix)

    def rank(self, record: TaskRecord) -> Any:
        """The order of a lookup, from last to first."""
        return (record.created_at, record.id)

    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        """Ordered and cut."""
        return [record.row() for record in sorted(found, key=self.rank, reverse=True)[:limit]]

    def scoped(self, organization: str) -> list[TaskRecord]:
        """The records of the organization, in the order of writing."""
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
        return self.tables.read_whole(lambda: self.answer(self.family(organization, start), limit), deadline)

    def family(self, organization: str, prefix: str) -> list[TaskRecord]:
        return [r for r in self.scoped(organization) if r.task_key is not None and self.starts(r.task_key, prefix)]

    def replace(self, record: TaskRecord, **fields: Any) -> StoredRow:
        """Overwrite fields of a stored record; its new row."""
        self.tables.records[record.id] = record._replace(**fields)
        return self.tables.records[record.id].row()


class ChangedRows(MemoryMutant):
    """Lookups whose rows go through `changed`."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> Any:
        found = super().find(primitive, arguments, limit, timeout_seconds)
        found[:] = [self.changed(row) for row in found]
        return found

    def changed(self, row: Any) -> Any:
        raise NotImplementedError


def like(pattern: str, text: str, *, escape: str = "") -> bool:
    """SQL's LIKE, case-exact."""
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, "")))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def bare(text: str) -> str:
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


Update = Callable[[TaskRecord, Change], dict[str, Any]]


class ChangedUpdates(MemoryMutant):
    """Stores whose updates go through `planned`, a change made for the record as it stands."""

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
    """Pages and counts whose filters are decided by `meets`, a record and one filter at a time."""

    def select(self, query: Query) -> Iterator[TaskRecord]:
        for record in list(self.tables.records.values()):
            in_scope = query.organization in (None, record.organization_id)
            if in_scope and all(self.meets(record, condition, query) for condition in query.conditions):
                yield record

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        plain = Query(query.organization, (condition,))
        return any(found is record for found in super().select(plain))


class SortedAnew(MemoryMutant):
    """Pages in the order of `key`."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        chosen = sorted(self.select(query), key=lambda record: self.key(record, sort), reverse=sort.descending)
        return [record.row() for record in chosen[offset : offset + limit]]

    def key(self, record: TaskRecord, sort: Sort) -> Any:
        return sort_key(record, sort)


class SharedMemory(MemoryMutant):
    """Claims to be shared, which it is among the managers of one process."""

    capabilities = Capabilities(bounded=True, shared=True)
