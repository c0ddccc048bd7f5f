"""Options that an administrator has set, for a collection or for all clients, change no answer unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from module_sdk_mongo.manager import MongoTaskManager
from pymongo import MongoClient

from devtools.servers.replica_set import ReplicaSet
from module_sdk.backends import ConfigurationError, Task

Opener = Callable[..., MongoTaskManager]
TaskMaker = Callable[..., Task]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"collation": {"locale": "en", "strength": 1}}, r"compares texts by a collation \(en\)"),
        ({"capped": True, "size": 1_000_000}, "is capped"),
    ],
)
def test_a_collection_with_options_that_change_answers_is_refused(
    opener: Opener, options: dict[str, Any], fault: str
) -> None:
    # given a collection that an administrator created before `setup` ran
    manager = opener()
    manager.connection.open()
    database = manager.connection.database
    database.create_collection(manager.connection.tasks.name, **options)

    # when it is used, then the error says why it cannot be used
    with pytest.raises(ConfigurationError, match=fault):
        manager.setup()
    with pytest.raises(ConfigurationError, match=fault):
        manager.get_tasks_by_key("job", 7)


def test_the_servers_default_concerns_change_nothing(
    one_member: ReplicaSet, opener: Opener, new_task: TaskMaker
) -> None:
    # given a server whose defaults allow unowned documents in reads, and acknowledge writes that only one member has
    concerns = {"defaultReadConcern": {"level": "available"}, "defaultWriteConcern": {"w": 1}}
    with MongoClient[dict[str, Any]](one_member.url) as client:
        client.admin.command({"setDefaultRWConcern": 1, **concerns})
        client.admin.command("profile", 0)
        manager = opener(one_member.url)
        database = manager.connection.database
        database.command("profile", 2)
        try:
            # when a task is written and found
            task, _ = manager.create(new_task(task_key="job"))
            found = [row["id"] for row in manager.get_tasks_by_key("job", 7)]
        finally:
            database.command("profile", 0)
        asked = list(database["system.profile"].find({"ns": f"{database.name}.{manager.connection.tasks.name}"}))

    # then each command states its own read and write concern
    assert found == [task.id]
    commands = [entry["command"] for entry in asked]
    assert {each["readConcern"]["level"] for each in commands if "find" in each} == {"local"}
    assert {each["writeConcern"]["w"] for each in commands if "findAndModify" in each} == {"majority"}
