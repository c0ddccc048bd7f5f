"""Mutants of the rules about listing by user."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from module_sdk.backends import StoredRows, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.sql import SQLStatementMutant

BATCH = 1_000


USER = "t.user_id = :user"


@mutant("32", "batch of 1,000 silently final", clause="USER-05")
class BatchIsFinal(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        return super().answer(found, min(limit or 1_000, 1_000))


@mutant("r20", "user matched as a prefix", clause="USER-02")
class UserAsPrefix(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id.startswith(user)


@mutant("x6", "users fold case", clause="USER-03")
class UserFoldsCase(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id.lower() == user.lower()


@mutant("x7", "a user's list matches organizations", clause="USER-06")
class UserIsOrganization(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return user in (record.user_id, record.organization_id)


@mutant("x24", "a user's list of active tasks only", clause="USER-01")
class UserListOfActive(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id == user and record.status in statuses.ACTIVE


@mutant("x48", "the limit applied per batch", clause="ORDER-05")
class LimitOfEachBatch(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        ranked = iter(sorted(found, key=self.rank, reverse=True))
        batches = iter(lambda: list(itertools.islice(ranked, BATCH)), [])
        return [record.row() for batch in batches for record in batch[:limit]]


@mutant("x49", "each batch sorted by itself", clause="USER-05")
class OrderOfEachBatch(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        unranked = iter(list(found))
        batches = iter(lambda: list(itertools.islice(unranked, BATCH)), [])
        ranked = [record for batch in batches for record in sorted(batch, key=self.rank, reverse=True)]
        return [record.row() for record in ranked[:limit]]


@mutant("x58", "users trimmed", clause="USER-03")
class UserTrimmed(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id.strip() == user.strip()


@mutant("x59", "an unknown user sees all", clause="USER-04")
class UnknownUserSeesAll(MemoryMutant):
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        known = {record.user_id for record in self.tables.records.values()}
        found = [r for r in self.scoped(organization) if user not in known or r.user_id == user]
        return self.answer(found, limit)


@mutant("x162", "users by LIKE in SQLite", clause="USER-03")
class UserLikeInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_user)
        return sql.replace(hint, "").replace(USER, "t.user_id LIKE :user") if USER in sql else sql
