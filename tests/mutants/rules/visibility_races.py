"""Mutants of the rules about visibility, whose bugs show only when two calls overlap."""

from __future__ import annotations

import time
from typing import Any

from module_sdk_memory.filters import matches
from module_sdk_sql.records import column_values, has_payloads, present_values

from module_sdk.backends import Query, StoredRows, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedSort, MemoryMutant
from tests.mutants.stores.sql import SQLMutant


@mutant("x94", "one attribute for the records of all threads", clause="SEE-07", race=True)
class NotThreadSafe(MemoryMutant):
    """Keeps the record to write in an attribute that another thread may overwrite."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.about_to_write = record
        time.sleep(0.005)
        return super().store_create(self.about_to_write, deadline)


@mutant("s19", "pages iterate over records without the lock", clause="SEE-07", race=True)
class PagesIterateLive(ChangedSort):
    """Iterates over the records themselves instead of a copy, for pages and counts."""

    def select(self, query: Query) -> Any:
        for number, record in enumerate(self.tables.records.values()):
            if number % 8 == 0:
                time.sleep(0.0005)
            if query.organization in (None, record.organization_id) and matches(record, query.conditions):
                yield record

    def store_count(self, query: Query, deadline: float) -> int:
        return sum(1 for _ in self.select(query))


@mutant("s20", "rows fetched after their ids", clause="SEE-07", race=True)
class RowsFetchedAfterIds(MemoryMutant):
    """Reads the ids of a user's tasks, and 20 ms later their rows. A task that was pruned in between has no row."""

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        ids = [row[0] for row in super().store_find_by_user(organization, user, limit, deadline) if row]
        time.sleep(0.02)
        records = [self.tables.records.get(task_id) for task_id in ids]
        return [record and record.row() for record in records]


@mutant("s21", "a lookup in batches by offset", clause="SEE-07", race=True)
class OffsetBatches(MemoryMutant):
    """Reads a user's tasks in batches of a hundred, by offset and 5 ms apart."""

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        rows: list[Any] = []
        while True:
            found = super().store_find_by_user(organization, user, None, deadline)
            batch = found[len(rows) : len(rows) + 100]
            rows += batch
            if len(batch) < 100 or (limit is not None and len(rows) >= limit):
                return rows[:limit]
            time.sleep(0.005)


@mutant("s60", "a create in two commits", clause="SEE-07", race=True)
class CreateInTwoCommits(SQLMutant):
    """Commits the task, and then its payloads."""

    def insert(self, record: TaskRecord, deadline: float, **how: bool) -> TaskRecord | None:
        values = present_values(record)
        statement = self.statements.insert_unless_existing(tuple(values))
        if self.pool.execute(statement.sql, statement.bind(values), deadline) != 1:
            return None
        if has_payloads(record):
            payloads = self.statements.insert_payloads()
            self.pool.execute(payloads.sql, payloads.bind(column_values(record)), deadline)
        return record
