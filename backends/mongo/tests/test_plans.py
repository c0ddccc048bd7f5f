"""Every lookup uses the index that it names, and reads only the documents that it returns (PREFIX-11, ROW-09)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from module_sdk_mongo.manager import MongoTaskManager
from module_sdk_mongo.schema import BY_CHANGE, BY_CHANGE_IN_ORGANIZATION, BY_ID, BY_KEY, BY_USER

from module_sdk import open_manager
from module_sdk.backends import ROW_FIELDS, Explanation, Task

TaskMaker = Callable[..., Task]

TASKS: Final = 50_000
RARE: Final = 10
LIMITS: Final = [1, 10]
START: Final = 1_767_225_600_000_000


@pytest.fixture(scope="module")
def manager(mongodb_url: str) -> Iterator[MongoTaskManager]:
    """A store with 50,000 tasks of one organization.

    Half of the keys begin with `half`, ten with `rare`; the user `busy` has half of the tasks. The `rare` tasks are the
    oldest, so that a plan that reads tasks from newest to oldest reaches them last.
    """
    manager = open_manager(mongodb_url, namespace="plans")
    assert isinstance(manager, MongoTaskManager)

    def tasks() -> Iterator[Task]:
        for number in range(TASKS):
            prefix = "rare" if number < RARE else ("half", "other")[number % 2]
            fields: dict[str, Any] = {
                "user_id": "busy" if number % 2 else f"user-{number}",
                "task_key": f"{prefix}:{number // 20 if prefix != 'rare' else 0}",
                "now": START + number,
            }
            made = Task.new(organization_id=7, module="tests", **fields)
            yield Task.from_dict({**made.to_dict(), "status": "completed", "checkpoint": "x" * 100})

    manager.import_tasks(tasks())
    yield manager
    manager.close()


def stages(explanation: Explanation) -> list[list[str]]:
    """Return the stages of each query, the last one to run first."""
    return [[stage["stage"] for stage in json.loads(plan)] for plan in explanation.plan.splitlines()]


def indexes(explanation: Explanation) -> list[list[str]]:
    plans = map(json.loads, explanation.plan.splitlines())
    return [[stage["indexName"] for stage in plan if "indexName" in stage] for plan in plans]


@pytest.mark.parametrize("limit", [None, *LIMITS])
@pytest.mark.parametrize(
    ("operation", "argument", "found"),
    [
        ("list_user_tasks", "busy", TASKS // 2),
        ("list_user_tasks", "user-4", 1),
        ("get_tasks_by_key", "rare:0", RARE),
        ("get_tasks_by_key", "other:500", 10),
    ],
)
def test_lookups_by_user_and_key_read_their_index_in_order(
    manager: MongoTaskManager, operation: Any, argument: str, found: int, limit: int | None
) -> None:
    # given the rows that the lookup returns
    rows = getattr(manager, operation)(argument, 7, limit=limit)
    assert len(rows) == (found if limit is None else min(found, limit))

    # when it is explained
    explanation = manager.explain(operation, argument, 7, limit=limit)

    # then it reads one index in its order, sorts nothing, and reads only the rows of the answer
    (plan,) = stages(explanation)
    assert indexes(explanation) == [[BY_USER if operation == "list_user_tasks" else BY_KEY]]
    assert "SORT" not in plan
    assert "COLLSCAN" not in plan
    assert explanation.rows_examined <= 2 * len(rows) + 1
    assert explanation.fields == ROW_FIELDS


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("prefix", "matches"), [("rare", RARE), ("half", TASKS // 2 - RARE // 2)])
def test_a_limited_prefix_lookup_picks_tasks_from_the_key_index_alone(
    manager: MongoTaskManager, prefix: str, matches: int, limit: int
) -> None:
    # given the rows that the lookup returns
    rows = manager.get_tasks_by_key_prefix(prefix, 7, limit=limit)
    assert [row["created_at"] for row in rows] == sorted((row["created_at"] for row in rows), reverse=True)
    assert len(rows) == limit

    # when it is explained
    explanation = manager.explain("get_tasks_by_key_prefix", prefix, 7, limit=limit)

    # then the first query reads only index entries of the prefix, and the second reads the chosen documents
    picking, fetching = stages(explanation)
    assert indexes(explanation) == [[BY_KEY], [BY_ID]]
    assert "FETCH" not in picking
    assert "SORT" not in fetching
    assert explanation.rows_examined <= matches + 1 + 3 * limit
    assert explanation.fields == ROW_FIELDS


@pytest.mark.parametrize(("prefix", "matches"), [("rare", RARE), ("half", TASKS // 2 - RARE // 2), ("none", 0)])
def test_an_unlimited_prefix_lookup_reads_only_the_tasks_with_the_prefix(
    manager: MongoTaskManager, prefix: str, matches: int
) -> None:
    # given the number of rows that the lookup returns
    assert len(manager.get_tasks_by_key_prefix(prefix, 7)) == matches

    # when it is explained
    explanation = manager.explain("get_tasks_by_key_prefix", prefix, 7)

    # then the key index serves it, and the server sorts nothing, because it would sort whole documents
    assert indexes(explanation) == [[BY_KEY]]
    assert "SORT" not in stages(explanation)[0]
    assert explanation.rows_examined <= 2 * matches + 1


@pytest.mark.parametrize("organization", [None, "7"])
def test_a_page_with_an_offset_skips_index_entries(manager: MongoTaskManager, organization: str | None) -> None:
    # given the query that finds the ids of a page
    condition = {} if organization is None else {"$and": [{"organization_id": organization}]}
    cursor = manager.connection.tasks.find(
        condition, {"_id": 1}, sort=[("updated_at", -1), ("_id", -1)], skip=TASKS // 2, limit=25
    )

    # when it is explained
    statistics = cursor.explain()["executionStats"]

    # then the skipped tasks cost no read of a document
    index = BY_CHANGE if organization is None else BY_CHANGE_IN_ORGANIZATION
    assert statistics["totalDocsExamined"] == 0
    assert index in str(statistics["executionStages"])


def test_pruning_finds_old_tasks_by_index(manager: MongoTaskManager) -> None:
    # given a server that profiles its commands
    database = manager.connection.database
    database.command("profile", 2)
    try:
        # when nothing is old enough
        assert manager.prune(1e12, organization_id=7) == 0
    finally:
        database.command("profile", 0)

    # then no document was read
    entries = list(database["system.profile"].find({"ns": manager.connection.tasks.full_name}))
    assert [entry["docsExamined"] for entry in entries if entry["op"] == "query"] == [0]
    database.drop_collection("system.profile")
