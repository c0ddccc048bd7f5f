"""The Redis backend meets the contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import pytest
import redis
from module_sdk_contract import TaskManagerContract
from module_sdk_contract.harness import Store
from module_sdk_redis.layout import SCHEMA_VERSION
from module_sdk_redis.manager import RedisTaskManager


class TestValkey(TaskManagerContract):
    @pytest.fixture(autouse=True)
    def client(self, valkey_url: str) -> Iterator[redis.Redis]:
        type(self).url = valkey_url
        with redis.Redis.from_url(valkey_url) as client:
            type(self).server = client
            yield client

    server: redis.Redis
    """Past the manager, for the side doors."""

    def dump(self, store: Store) -> Iterable[object]:
        for key in self.server.scan_iter(f"{{{store.namespace}}}:*"):
            yield key, self.server.dump(key)

    def corrupt(self, store: Store, task_id: str) -> None:
        self.server.set(manager_of(store).layout.record(task_id), "no record")

    def write_newer_schema(self, store: Store) -> None:
        self.server.set(manager_of(store).layout.schema, SCHEMA_VERSION + 1)


def manager_of(store: Store) -> RedisTaskManager:
    return cast("RedisTaskManager", store.manager)
