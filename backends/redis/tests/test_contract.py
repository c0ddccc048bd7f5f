"""The Redis backend meets the contract, on Valkey, and on an older Redis over TLS with a user of few rights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import cast

import pytest
import redis
from module_sdk_contract import TaskManagerContract
from module_sdk_contract.harness import Store
from module_sdk_redis.manager import RedisTaskManager
from module_sdk_redis.schema import SCHEMA_VERSION

from devtools.servers.tls import RedisOverTLS
from tests.support.corruption import spoil_somehow
from tests.support.fixtures import running
from tests.support.held_locks import paused_server
from tests.support.restarts import RestartsServer


class RedisContract(RestartsServer, TaskManagerContract):
    """The direct access to the store that the suite needs, the same for both servers."""

    __test__ = False

    server: redis.Redis
    """A client that bypasses the manager."""

    def dump(self, store: Store) -> Iterable[object]:
        for key in self.server.scan_iter(f"{{{store.namespace}}}:*"):
            yield key, self.server.dump(key)

    def corrupt(self, store: Store, task_id: str) -> None:
        spoil_somehow(store.manager, task_id)

    def write_newer_schema(self, store: Store) -> None:
        self.server.set(manager_of(store).layout.schema, SCHEMA_VERSION + 1)

    def empty_store(self, store: Store) -> None:
        for key in list(self.server.scan_iter(f"{{{store.namespace}}}:*")):
            self.server.unlink(key)

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return paused_server(self.server)


class TestValkey(RedisContract):
    __test__ = True

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def client(cls, valkey_url: str) -> Iterator[None]:
        cls.url = valkey_url
        with redis.Redis.from_url(valkey_url) as cls.server:
            yield


class TestRedisOverTLS(RedisContract):
    __test__ = True

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def client(cls) -> Iterator[None]:
        with running(RedisOverTLS) as server, redis.Redis.from_url(server.url_of("default")) as cls.server:
            cls.url = server.url
            yield


def manager_of(store: Store) -> RedisTaskManager:
    return cast("RedisTaskManager", store.manager)
