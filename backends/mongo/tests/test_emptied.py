"""A manager notices within a second that its collections were dropped, and no call creates them again (SEE-10)."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from module_sdk_mongo.manager import MAXIMUM_CHECK_AGE_SECONDS, MongoTaskManager

from module_sdk.backends import SchemaMissingError, Task
from tests.support.corruption import drop_collections

Opener = Callable[..., MongoTaskManager]
TaskMaker = Callable[..., Task]


def names(manager: MongoTaskManager) -> list[str]:
    found = manager.connection.database.list_collection_names()
    return [name for name in found if name.startswith(f"{manager.options.namespace}__")]


def drop_tasks(manager: MongoTaskManager) -> None:
    manager.connection.tasks.drop()


def drop_meta(manager: MongoTaskManager) -> None:
    manager.connection.meta.drop()


def drop_indexes(manager: MongoTaskManager) -> None:
    """Replace the collection by one that an insert has created."""
    manager.connection.tasks.drop()
    manager.connection.tasks.insert_one({"_id": "of another program"})


def delete_documents(manager: MongoTaskManager) -> None:
    manager.connection.tasks.delete_many({})
    manager.connection.meta.delete_many({})


def drop_database(manager: MongoTaskManager) -> None:
    manager.connection.database.client.drop_database(manager.connection.database)


def then_refused(manager: MongoTaskManager, new_task: TaskMaker) -> None:
    """Assert that every call is refused, twice."""
    task = new_task(task_key="job")
    calls: list[Callable[[], Any]] = [
        lambda: manager.list_user_tasks(1, 7),
        lambda: manager.get_tasks_by_key_prefix("", 7, limit=1),
        lambda: manager.create(task),
        lambda: manager.create(new_task()),
        lambda: manager.import_tasks([task]),
        lambda: manager.update(task.id, progress=0.5),
        lambda: manager.get(task.id),
        manager.page,
        manager.count,
        lambda: manager.prune(0),
        manager.ping,
        manager.diagnose,
    ]
    for call in (*calls, *calls):
        with pytest.raises(SchemaMissingError, match="module-sdk setup"):
            call()


@pytest.mark.parametrize("empty", [drop_collections, drop_tasks, drop_meta, drop_indexes, delete_documents])
def test_every_call_on_an_emptied_store_is_refused_until_setup(
    opener: Opener, new_task: TaskMaker, empty: Callable[[MongoTaskManager], None]
) -> None:
    # given two managers that have used a store
    manager, second = opener(), opener()
    for each in (manager, second):
        each.create(new_task())

    # when it is emptied, in part or completely, then soon every call is refused, and no collection is created
    empty(manager)
    left = names(manager)
    time.sleep(MAXIMUM_CHECK_AGE_SECONDS)
    for each in (manager, second, opener()):
        then_refused(each, new_task)
    assert names(manager) == left

    # and when one of the managers runs `setup`, both work
    second.setup()
    for each in (manager, second):
        task, created = each.create(new_task(task_key="after"))
        assert created
        each.update(task.id, status="interrupted")
        assert each.get_tasks_by_key("after", 7)[0]["id"] == task.id


WRITES: Final[dict[str, Callable[[MongoTaskManager, Task], object]]] = {
    "create": lambda manager, task: manager.create(task),
    "create without a key": lambda manager, task: manager.create(dataclasses.replace(task, task_key=None)),
    "import": lambda manager, task: manager.import_tasks([task]),
    "update": lambda manager, task: manager.update(task.id, status="running"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_write_right_after_a_drop_is_refused(
    opener: Opener, new_task: TaskMaker, write: Callable[[MongoTaskManager, Task], object]
) -> None:
    # given a manager that has just checked its store
    manager = opener()
    manager.create(new_task())

    # when the store is dropped, then an immediate write is refused
    drop_collections(manager)
    with pytest.raises(SchemaMissingError):
        write(manager, new_task(task_key="job"))

    # and no document was inserted
    assert manager.connection.tasks.count_documents({}) == 0
    then_refused(manager, new_task)


def test_a_dropped_database_is_not_created_again_until_setup(
    opener: Opener, new_task: TaskMaker, mongodb_url: str
) -> None:
    manager = opener(f"{mongodb_url.rpartition('/')[0]}/t_{os.getpid()}_dropped")
    manager.create(new_task())
    drop_database(manager)
    time.sleep(MAXIMUM_CHECK_AGE_SECONDS)

    then_refused(manager, new_task)
    assert names(manager) == []

    manager.setup()
    assert manager.count() == 0
    drop_database(manager)


def test_a_forked_child_creates_no_collection_either(opener: Opener, new_task: TaskMaker) -> None:
    manager = opener()
    manager.create(new_task())
    drop_collections(manager)

    child = os.fork()
    if child == 0:
        status = 1
        try:
            then_refused(manager, new_task)
            then_refused(opener(), new_task)
            status = 0
        finally:
            os._exit(status)

    assert os.waitpid(child, 0)[1] == 0
    assert names(manager) == []


def test_creating_an_existing_task_returns_it(opener: Opener, new_task: TaskMaker) -> None:
    # given a task without a key that was created
    manager = opener()
    task, _ = manager.create(new_task())

    # when it is created again, as after a lost reply, then the same task is returned, and there is no second one
    assert manager.create(task) == (task, True)
    assert manager.count() == 1
