"""Managers on MongoDB that are closed at the end of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from module_sdk_mongo.manager import MongoTaskManager

from devtools.servers.kinds import MongoDB
from devtools.servers.replica_set import ReplicaSet, replica_set
from module_sdk.backends import TaskManager
from tests.support.fixtures import require

Opener = Callable[..., MongoTaskManager]


@pytest.fixture
def opener(request: pytest.FixtureRequest, namespace: str, opened: Callable[..., TaskManager]) -> Opener:
    """Open managers in the namespace of the test, on the shared server unless a URL is given."""

    def open_mongo(url: str | None = None, **options: Any) -> MongoTaskManager:
        store_url = url or request.getfixturevalue("mongodb_url")
        manager = opened(store_url, **{"namespace": namespace, **options})
        assert isinstance(manager, MongoTaskManager)
        return manager

    return open_mongo


@pytest.fixture
def manager(opener: Opener) -> MongoTaskManager:
    return opener()


@pytest.fixture(scope="module")
def one_member() -> Iterator[ReplicaSet]:
    """A replica set of one member, so that no other can be elected."""
    require(MongoDB)
    with replica_set(1) as made:
        yield made


@pytest.fixture(scope="module")
def three_members() -> Iterator[ReplicaSet]:
    """A replica set of three members; a test that kills one must restart it."""
    require(MongoDB)
    with replica_set(3) as made:
        yield made
