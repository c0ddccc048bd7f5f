"""Managers on Valkey that are closed at the end of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from module_sdk_redis.manager import RedisTaskManager

from devtools.servers.kinds import Valkey
from devtools.servers.redis_cluster import Cluster, cluster
from module_sdk.backends import TaskManager
from tests.support.fixtures import require

Opener = Callable[..., RedisTaskManager]


@pytest.fixture
def opener(request: pytest.FixtureRequest, namespace: str, opened: Callable[..., TaskManager]) -> Opener:
    """Open managers in the namespace of the test, on the shared server unless a URL is given."""

    def open_redis(url: str | None = None, **options: Any) -> RedisTaskManager:
        store_url = url or request.getfixturevalue("valkey_url")
        manager = opened(store_url, **{"namespace": namespace, **options})
        assert isinstance(manager, RedisTaskManager)
        return manager

    return open_redis


@pytest.fixture
def manager(opener: Opener) -> RedisTaskManager:
    return opener()


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    """A client that bypasses the manager."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as made:
        yield made


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Cluster]:
    """A cluster of three primaries, each with a replica."""
    require(Valkey)
    with cluster(3) as made:
        yield made
