"""The MongoDB backend meets the contract, on a real server and, as a smoke test, on mongomock."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable
from typing import cast

import pytest
from module_sdk_contract import Deviation, TaskManagerContract
from module_sdk_contract.harness import Store
from module_sdk_mongo.manager import MongoTaskManager
from module_sdk_mongo.schema import SCHEMA_ID, SCHEMA_VERSION

from tests.support.corruption import drop_collections, dumped_collections, spoil_somehow
from tests.support.held_locks import lock_of
from tests.support.restarts import RestartsServer


class MongoContract(RestartsServer, TaskManagerContract):
    """The direct access to the store that the suite needs, the same for both."""

    __test__ = False
    deviations = (
        Deviation(
            "ORDER-10",
            "an upsert cannot read other documents, and a read before it would cost a round trip: clocks must agree",
            datetime.date(2030, 1, 1),
        ),
    )

    def dump(self, store: Store) -> Iterable[object]:
        return dumped_collections(manager_of(store))

    def corrupt(self, store: Store, task_id: str) -> None:
        spoil_somehow(store.manager, task_id)

    def direct_url(self, url: str) -> str:
        return f"{url}?directConnection=true"

    def write_newer_schema(self, store: Store) -> None:
        newer = {"$set": {"version": SCHEMA_VERSION + 1}}
        manager_of(store).connection.meta.update_one({"_id": SCHEMA_ID}, newer)

    def empty_store(self, store: Store) -> None:
        drop_collections(manager_of(store))


class TestMongoDB(MongoContract):
    __test__ = True

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return lock_of(store)

    @pytest.fixture(autouse=True)
    def server(self, mongodb_url: str) -> None:
        type(self).url = mongodb_url


class TestMongomock(MongoContract):
    __test__ = True
    url = "mongodb://mongomock"
    opener = "backends.mongo.tests.mongomock_manager:open_manager"


def manager_of(store: Store) -> MongoTaskManager:
    return cast("MongoTaskManager", store.manager)
