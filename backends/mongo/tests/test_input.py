"""A value that MongoDB would take for an operator or an expression is refused, or is data (BAD-03, SCOPE-07)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from module_sdk_mongo.manager import MongoTaskManager

from module_sdk.backends import InvalidInputError, Task, TaskBackendError

TaskMaker = Callable[..., Task]

OPERATORS: Final[list[Any]] = [{"$gt": ""}, {"$ne": None}, {"$regex": ".*"}, {"$where": "true"}, ["a"], ("a",), b"a"]
TEXTS: Final = [
    "$gt",
    "$where",
    "$$ROOT",
    "$label",
    "$$REMOVE",
    '{"$gt": ""}',
    "a.b",
    "$a.$b",
    ".*",
    "^",
    "(?i)a",
    "\\E",
]

CALLS: Final[dict[str, Callable[[MongoTaskManager, Any], object]]] = {
    "user": lambda manager, value: manager.list_user_tasks(value, 7),
    "organization": lambda manager, value: manager.list_user_tasks(1, value),
    "key": lambda manager, value: manager.get_tasks_by_key(value, 7),
    "prefix": lambda manager, value: manager.get_tasks_by_key_prefix(value, 7),
    "get": lambda manager, value: manager.get(value),
    "scope": lambda manager, value: manager.count(organization_id=value),
    "update": lambda manager, value: manager.update(value, progress=1),
    "label": lambda manager, value: manager.update("00000000-0000-7000-8000-000000000000", label=value),
    "contains": lambda manager, value: manager.count(filters={"label__contains": value}),
    "time": lambda manager, value: manager.count(filters={"created_at__gte": value}),
    "sort": lambda manager, value: manager.page(sort=value),
    "prune": lambda manager, value: manager.prune(0, user_id=value),
}


@pytest.mark.parametrize("value", OPERATORS, ids=repr)
@pytest.mark.parametrize("call", CALLS)
def test_an_operator_where_a_text_belongs_is_refused(
    manager: MongoTaskManager, new_task: TaskMaker, call: str, value: Any
) -> None:
    # given a task that an operator would match
    manager.create(new_task(label="secret", task_key="a"))

    # when a call gets the operator, then it is refused and never reaches the store
    with pytest.raises(InvalidInputError):
        CALLS[call](manager, value)
    assert manager.count() == 1


@pytest.mark.parametrize("value", OPERATORS, ids=repr)
@pytest.mark.parametrize("field", ["user_id", "organization_id", "module", "label", "task_key", "status", "error"])
def test_no_task_can_contain_an_operator(new_task: TaskMaker, field: str, value: Any) -> None:
    with pytest.raises(InvalidInputError):
        Task.from_dict({**new_task().to_dict(), field: value})


@pytest.mark.parametrize("text", TEXTS)
def test_an_expression_is_stored_and_found_as_text(manager: MongoTaskManager, new_task: TaskMaker, text: str) -> None:
    # given a task with the text in every text field, and another that has it only as its organization
    task = new_task(user_id=text, organization_id=text, module=text, label=text, task_key=text)
    manager.create(task)
    manager.create(new_task(organization_id=text, task_key="aa", label="other", module="other"))

    # when the first is updated with the same text, and looked up by it
    manager.update(task.id, status="running", label=text, checkpoint={text: text}, error=text)
    found = [
        manager.list_user_tasks(text, text),
        manager.get_tasks_by_key(text, text),
        manager.get_tasks_by_key_prefix(text, text),
        manager.page(filters={"label": text}),
        manager.page(filters={"module": [text, "$"]}),
        manager.page(filters={"label__contains": text}),
        manager.page(filters={"label__startswith": text, "label__contains": text[-1:]}),
    ]

    # then every answer is that task, unchanged
    assert [[row["id"] for row in rows] for rows in found] == [[task.id]] * len(found)
    stored = manager.get(task.id)
    assert stored is not None
    assert (stored.label, stored.module, stored.error, stored.checkpoint) == (text, text, text, {text: text})


def test_a_document_that_is_not_valid_bson_hides_no_other(manager: MongoTaskManager, new_task: TaskMaker) -> None:
    # given two tasks, and a record whose label is not UTF-8
    older, broken, newer = (new_task(task_key="job", label=label) for label in ("older", "broken", "newer"))
    for task in (older, newer):
        manager.create(task)
        manager.update(task.id, status="interrupted")
    tasks = manager.connection.tasks
    document = {**(tasks.find_one({"_id": older.id}) or {}), "_id": broken.id, "label": "broken"}
    tasks.insert_one(RawBSONDocument(bson.encode(document).replace(b"broken\x00", b"brok\xff\xfe\x00")))

    # when they are looked up
    answers = [
        manager.list_user_tasks(1, 7),
        manager.get_tasks_by_key("job", 7),
        manager.get_tasks_by_key_prefix("j", 7),
        manager.get_tasks_by_key_prefix("j", 7, limit=2),
        manager.page(organization_id=7, sort="-created_at"),
    ]

    # then the readable tasks are returned, newest first
    assert [[row["label"] for row in rows] for rows in answers] == [["newer", "older"]] * len(answers)
    assert [row["label"] for row in manager.page(organization_id=7, sort="-created_at", offset=1)] == ["older"]
    # and `get` raises for the other one
    with pytest.raises(TaskBackendError):
        manager.get(broken.id)
