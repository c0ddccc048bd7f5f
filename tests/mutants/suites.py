"""A suite for each mutant, which is not collected with the other tests: see `selection.py`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis
from module_sdk_contract import TaskManagerContract
from module_sdk_contract.groups.deep import DeepClauses
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clauses_of_function, deciding_tests
from module_sdk_contract.suite import StoreUnderTest

from tests.mutants.registry import STORES, StoreKind, clauses_to_test
from tests.mutants.stores.wire import answering_server
from tests.support.corruption import (
    drop_collections,
    drop_tables,
    dumped_collections,
    dumped_tables,
    scrambled_file,
    spoil_somehow,
)
from tests.support.held_locks import lock_of, paused_server
from tests.support.restarts import RestartsServer


class MutantUnderTest(StoreUnderTest):
    """The suite of a store in memory."""

    time_limit_seconds = 60
    url = "memory://mutants"

    def dump(self, store: Store) -> Iterable[object]:
        tables = manager_of(store).tables
        return [tables.records, tables.active, tables.by_user, tables.by_key]

    def corrupt(self, store: Store, task_id: str) -> None:
        spoil_somehow(store.manager, task_id)

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return lock_of(store)


class WireMutant(MutantUnderTest):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls) -> Iterator[None]:
        with answering_server() as port:
            cls.url = f"memory://127.0.0.1:{port}/mutants"
            yield


class SQLMutantUnderTest(StoreUnderTest):
    time_limit_seconds = 60

    def dump(self, store: Store) -> Iterable[object]:
        return dumped_tables(manager_of(store))

    def write_newer_schema(self, store: Store) -> None:
        manager = manager_of(store)
        manager.pool.execute(f"UPDATE {manager.tables.meta_name} SET value = '99'", (), time.monotonic() + 10)

    def empty_store(self, store: Store) -> None:
        drop_tables(manager_of(store))

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return lock_of(store)


class SQLiteMutant(SQLMutantUnderTest):
    @pytest.fixture
    def tmp_path(self, folder_in_memory: Path) -> Path:
        return folder_in_memory

    def manager_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'tasks.db'}"

    def dead_url(self, store: Store) -> str:
        return scrambled_file(store.tmp_path)


class ServerMutant(RestartsServer, StoreUnderTest):
    """The suite of a store on a real server, whose fixture is called `<kind>_url`."""

    time_limit_seconds = 60
    kind: ClassVar[str]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, request: pytest.FixtureRequest) -> None:
        cls.url = request.getfixturevalue(f"{cls.kind}_url")


class SQLServerMutant(ServerMutant, SQLMutantUnderTest):
    pass


class ValkeyMutant(ServerMutant):
    def dump(self, store: Store) -> Iterable[object]:
        router = manager_of(store).router
        read = router.read("KEYS", f"{{{store.namespace}}}:*", deadline=time.monotonic() + 10)
        for key in read:
            yield key, router.read("DUMP", key, deadline=time.monotonic() + 10)

    def corrupt(self, store: Store, task_id: str) -> None:
        spoil_somehow(store.manager, task_id)

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return paused_server(store.to_close.enter_context(redis.Redis.from_url(store.url)))


class MongoMutantUnderTest(ServerMutant):
    def dump(self, store: Store) -> Iterable[object]:
        return dumped_collections(manager_of(store))

    def direct_url(self, url: str) -> str:
        return f"{url}?directConnection=true"

    def empty_store(self, store: Store) -> None:
        drop_collections(manager_of(store))

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return lock_of(store)


BASES = {
    "memory": MutantUnderTest,
    "wire": WireMutant,
    "sqlite": SQLiteMutant,
    "postgresql": SQLServerMutant,
    "pooler": SQLServerMutant,
    "mariadb": SQLServerMutant,
    "valkey": ValkeyMutant,
    "mongodb": MongoMutantUnderTest,
}


def manager_of(store: Store) -> Any:
    """Return the manager as `Any`, for the attributes that only its backend has."""
    return store.manager


def suite(store: StoreKind) -> type[StoreUnderTest]:
    """Return a class with the tests that decide the clauses of the store, without the search of the deep tier."""
    clauses = clauses_to_test(store)
    chosen = {
        name: test
        for name, test in deciding_tests(TaskManagerContract)
        if clauses & clauses_of_function(test) and name not in vars(DeepClauses)
    }
    settings = {"opener": store.opener, "kind": store.kind, **chosen}
    return type(f"Test_{store.name}", (BASES[store.kind],), settings)


globals().update({made.__name__: made for made in map(suite, STORES)})
