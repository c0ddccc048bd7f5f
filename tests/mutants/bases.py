"""What the mutants are made of: good stores, with a seam wherever a bug is put in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from module_sdk_memory.manager import MemoryTaskManager
from module_sdk_sql.manager import SQLTaskManager

from module_sdk.backends import ManagerOptions, StoredRow, StoredRows, TaskManager, TaskRecord


class Opened(TaskManager):
    """Opened by the suite as `module:Class.open`, since no entry point serves it."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        return cls(url, ManagerOptions(**options))


class SQLMutant(Opened, SQLTaskManager):
    """A good SQL store."""


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
        with self.tables.lock:
            return self.answer([r for r in self.scoped(organization) if self.has_user(r, user)], limit)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        with self.tables.lock:
            keyed = [r for r in self.scoped(organization) if r.task_key is not None and self.has_key(r.task_key, key)]
            return self.answer(keyed, limit)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        with self.tables.lock:
            return self.answer(self.family(organization, start), limit)

    def family(self, organization: str, prefix: str) -> list[TaskRecord]:
        return [r for r in self.scoped(organization) if r.task_key is not None and self.starts(r.task_key, prefix)]

    def replace(self, record: TaskRecord, **fields: Any) -> StoredRow:
        """Overwrite fields of a stored record; its new row."""
        self.tables.records[record.id] = record._replace(**fields)
        return self.tables.records[record.id].row()
