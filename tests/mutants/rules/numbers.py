"""Mutants that break a rule only above some number of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unittest import mock

from module_sdk_mongo import queries
from module_sdk_redis import index_reads

from module_sdk.backends import Change, Query, Sort, StoredRows, TaskBackendError, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedSelection, MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant

WINDOW = 10_000
BUFFER = 8_191
WORD = 65_535


@mutant("t121", "a user's list ends at 8,191", clause="USER-05")
class UserListEndsAtBuffer(MemoryMutant):
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        return super().store_find_by_user(organization, user, limit, deadline)[:BUFFER]


@mutant("t122", "the tasks with a prefix end at 10,000", clause="PREFIX-10")
class PrefixEndsAtWindow(MemoryMutant):
    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        return super().store_find_by_prefix(organization, start, end, limit, deadline)[:WINDOW]


@mutant("t123", "the runs of a key end at 8,191", clause="KEY-05")
class RunsEndAtBuffer(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return super().store_find_by_key(organization, key, limit, deadline)[:BUFFER]


@mutant("t124", "counts of 16 bits", clause="MODEL-07")
class CountsOf16Bits(MemoryMutant):
    def store_count(self, query: Query, deadline: float) -> int:
        return super().store_count(query, deadline) & WORD


@mutant("t125", "pages within a window of 10,000", clause="MODEL-08")
class PagesWithinWindow(MemoryMutant):
    """Returns no rows beyond the window, as a search engine does."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        return super().store_page(query, sort, offset, max(0, min(limit, WINDOW - offset)), deadline)


@mutant("t126", "a limit is 8,191 at most", clause="ORDER-05")
class LimitIsCut(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer(found, None if limit is None else min(limit, BUFFER))


@mutant("t127", "a batch of a prune is 1,000 at most", clause="KEEP-01")
class PruneBatchIsCut(MemoryMutant):
    """Removes fewer tasks than a full batch, which tells the caller that none are left."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return super().store_prune(before, organization, user, min(batch_size, 1_000), deadline)


@mutant("t128", "scripts with 10,000 arguments in Redis", clause="USER-05")
class ScriptsOf10000(RedisMutant):
    """Passes more values than Lua can put on its stack, which are 8,000."""

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        with mock.patch.object(index_reads, "CHUNK", WINDOW):
            return super().store_find_by_user(organization, user, limit, deadline)


@mutant("t129", "the first batch of 8,192 documents in MongoDB", clause="USER-05")
class FirstBatchInMongo(MongoMutant):
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        with self.checked_within(deadline):
            found = queries.by_user(organization, user, min(limit or BUFFER + 1, BUFFER + 1))
            return found.rows(self.connection.tasks)


@mutant("t130", "fetchmany(8,192), once, in SQLite", clause="PREFIX-10")
class FetchManyOnce(SQLMutant):
    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        return super().store_find_by_prefix(organization, start, end, limit, deadline)[: BUFFER + 1]


@mutant("t131", "a filter by more than 32,766 values", clause="MODEL-03")
class FilterOf32766(ChangedSelection):
    def store_count(self, query: Query, deadline: float) -> int:
        if any(
            isinstance(each.value, list | tuple | set | frozenset) and len(each.value) > 32_766
            for each in query.conditions
        ):
            raise TaskBackendError("too many SQL variables")
        return super().store_count(query, deadline)


@mutant("t132", "only the first 1,000 of many are interrupted", clause="LIFE-11")
class ManyOf1000(MemoryMutant):
    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        return super().store_update_many(task_ids[:1_000], organization, change, deadline)


@mutant("t133", "a filtered count ends at 10,000", clause="MODEL-07")
class FilteredCountEnds(MemoryMutant):
    """Counts the rows of a query with a limit."""

    def store_count(self, query: Query, deadline: float) -> int:
        counted = super().store_count(query, deadline)
        return min(counted, WINDOW) if query.conditions else counted


@mutant("t134", "the newest of 8,191 entries with a prefix", clause="ORDER-05")
class NewestOfABuffer(MemoryMutant):
    """Reads the tasks with the prefix in the order of their keys until the buffer is full, and sorts only those."""

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        if limit is None:
            return super().store_find_by_prefix(organization, start, end, limit, deadline)
        with self.tables.lock:
            matching = sorted(self.with_prefix(organization, start), key=lambda record: record.task_key or "")
            return self.answer(matching[:BUFFER], limit)
