"""Mutants that send data of another organization's task over the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from module_sdk_redis.index_reads import Reader

from module_sdk.backends import Change, ManagerOptions, TaskManager, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant


class ComparesHere(TaskManager):
    """A store that fetches a task of any organization, and compares the organizations in the client."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = super().store_get(task_id, None, deadline)  # type: ignore[safe-super]  # the other base class has one
        return record if record is not None and organization in (None, record.organization_id) else None


class FetchesFirst(TaskManager):
    """A store that fetches a task of any organization before an update, and checks its status in the client."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, None, deadline)
        if record is None or record.status not in change.allowed:
            return None
        return super().store_update(task_id, organization, change, deadline)  # type: ignore[safe-super]  # as above


@mutant("w1", "a get in Redis compares organizations in the client", clause="SCOPE-13")
class GetComparesHereInRedis(ComparesHere, RedisMutant):
    pass


@mutant("w2", "a get in SQL compares organizations in the client", clause="SCOPE-13", on="postgresql")
@mutant("w3", "a get in SQL compares organizations in the client", clause="SCOPE-13", on="mariadb")
class GetComparesHereInSQL(ComparesHere, SQLMutant):
    pass


@mutant("w4", "a get in MongoDB compares organizations in the client", clause="SCOPE-13")
class GetComparesHereInMongo(ComparesHere, MongoMutant):
    pass


@mutant("w5", "an update in Redis fetches the task first", clause="SCOPE-13")
class UpdateFetchesFirstInRedis(FetchesFirst, RedisMutant):
    pass


@mutant("w6", "an update in SQL fetches the task first", clause="SCOPE-13", on="postgresql")
class UpdateFetchesFirstInSQL(FetchesFirst, SQLMutant):
    pass


class UnscopedReader(Reader):
    def records(self, ids: Sequence[str], organization: str | None, deadline: float) -> Sequence[bytes | None]:
        return super().records(ids, None, deadline)


@mutant("w7", "a page by id in Redis fetches rows of other organizations", clause="SCOPE-13")
class PageByIdFetchesOthers(RedisMutant):
    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.read_model.reader = UnscopedReader(self.router, self.layout)
