"""Managers on Valkey that are closed at the end of a test."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import redis
from module_sdk_redis.manager import RedisTaskManager

from module_sdk import open_manager
from module_sdk.backends import Task
from tests.redis_cluster import Cluster, cluster

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]

RUN: Final = secrets.token_hex(4)
numbers: Final = itertools.count()


@pytest.fixture
def namespace() -> str:
    """One that no other test has."""
    return f"t{RUN}_{next(numbers)}"


@pytest.fixture
def opener(request: pytest.FixtureRequest, namespace: str) -> Iterator[Opener]:
    """Opens managers, all on the namespace of the test, on the shared server unless a URL is given."""
    opened: list[RedisTaskManager] = []

    def open_redis(url: str | None = None, **options: Any) -> RedisTaskManager:
        place = url or request.getfixturevalue("valkey_url")
        manager = open_manager(place, **{"namespace": namespace, **options})
        assert isinstance(manager, RedisTaskManager)
        opened.append(manager)
        return manager

    yield open_redis
    for manager in opened:
        manager.close()


@pytest.fixture
def manager(opener: Opener) -> RedisTaskManager:
    return opener()


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    """Past the manager."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as made:
        yield made


@pytest.fixture
def new_task() -> TaskMaker:
    """Makes tasks; what a test does not care about has a value."""

    def make(**fields: Any) -> Task:
        return Task.new(**{"user_id": 1, "organization_id": 7, "module": "tests", **fields})

    return make


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Cluster]:
    """A cluster of three primaries, and a replica for each of them."""
    with cluster(3) as made:
        yield made
