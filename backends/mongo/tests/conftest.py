"""Managers on MongoDB that are closed at the end of a test."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from module_sdk_mongo.manager import MongoTaskManager

from module_sdk import open_manager
from module_sdk.backends import Task
from tests.replica_set import ReplicaSet, replica_set

Opener = Callable[..., MongoTaskManager]
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
    opened: list[MongoTaskManager] = []

    def open_mongo(url: str | None = None, **options: Any) -> MongoTaskManager:
        place = url or request.getfixturevalue("mongodb_url")
        manager = open_manager(place, **{"namespace": namespace, **options})
        assert isinstance(manager, MongoTaskManager)
        opened.append(manager)
        return manager

    yield open_mongo
    for manager in opened:
        manager.close()


@pytest.fixture
def manager(opener: Opener) -> MongoTaskManager:
    return opener()


@pytest.fixture
def new_task() -> TaskMaker:
    """Makes tasks; what a test does not care about has a value."""

    def make(**fields: Any) -> Task:
        return Task.new(**{"user_id": 1, "organization_id": 7, "module": "tests", **fields})

    return make


@pytest.fixture(scope="module")
def one_member() -> Iterator[ReplicaSet]:
    """A replica set of one, which has no other to elect."""
    with replica_set(1) as made:
        yield made


@pytest.fixture(scope="module")
def three_members() -> Iterator[ReplicaSet]:
    """A replica set of three; a test that kills one starts it again."""
    with replica_set(3) as made:
        yield made
