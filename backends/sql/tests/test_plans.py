"""Every lookup uses its index in a store of 50,000 tasks, however many other tasks there are."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import pytest
from module_sdk_sql.dialects.postgresql import connection
from module_sdk_sql.manager import SQLTaskManager

from module_sdk import open_manager
from module_sdk.backends import ROW_FIELDS, Task

TASKS = 50_000
RARE = 10
ORGANIZATION = 7
SMALL_ORGANIZATION = 8


def tasks() -> Iterator[Task]:
    """Generate the tasks of two organizations.

    In the big one half of the keys begin with `big.`, ten with `rare.`, and the rest are mixed; it has five users. The
    small one has ten tasks, the oldest of all, whose keys and users are frequent in the big one.
    """
    rng = random.Random(2)
    moments = rng.sample(range(10**12), TASKS)
    for number, moment in enumerate(moments):
        if number < RARE:
            key, user = f"rare.{number % 3}", "rare"
        elif number % 2:
            key, user = f"big.{number}", str(number % 5)
        else:
            key, user = f"other.{number}", str(number % 5)
        task = Task.new(user_id=user, organization_id=ORGANIZATION, module="m", task_key=key, now=moment)
        yield dataclasses.replace(task, status="completed")
    for number in range(RARE):
        task = Task.new(
            user_id="1", organization_id=SMALL_ORGANIZATION, module="m", task_key=f"big.{number}", now=number
        )
        yield dataclasses.replace(task, status="completed")


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLTaskManager]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'tasks.db'}"
    else:
        url = request.getfixturevalue(f"{request.param}_url")
    manager = open_manager(url, namespace="plans", timeout_seconds=60)
    assert isinstance(manager, SQLTaskManager)
    assert manager.import_tasks(tasks()) == TASKS + RARE
    for table in manager.tables.metadata.tables:
        manager.pool.execute(manager.dialect.analyze(table), (), manager.deadline(None))
    yield manager
    manager.close()


@pytest.mark.parametrize("limit", [None, 1, 10])
@pytest.mark.parametrize(
    ("operation", "argument", "index"),
    [
        ("list_user_tasks", "rare", "plans__tasks_by_user"),
        ("get_tasks_by_key", "rare.1", "plans__tasks_by_key"),
        ("get_tasks_by_key_prefix", "rare.", "plans__tasks_by_key"),
        ("get_tasks_by_key_prefix", "nothing", "plans__tasks_by_key"),
        ("list_user_tasks", "nobody", "plans__tasks_by_user"),
    ],
)
def test_a_lookup_in_a_big_organization_examines_only_its_result(
    store: SQLTaskManager, operation: Any, argument: str, index: str, limit: int | None
) -> None:
    found = len(getattr(store, operation)(argument, ORGANIZATION))
    explanation = store.explain(operation, argument, ORGANIZATION, limit=limit)
    assert index in explanation.plan, explanation.plan
    # The entries of the index, the rows and the sort count.
    assert explanation.rows_examined <= 8 * found + 10, explanation
    assert explanation.fields == ROW_FIELDS


@pytest.mark.parametrize("limit", [1, 10])
def test_a_limited_lookup_by_a_frequent_prefix_examines_only_tasks_of_that_prefix(
    store: SQLTaskManager, limit: int
) -> None:
    explanation = store.explain("get_tasks_by_key_prefix", "big.", ORGANIZATION, limit=limit)
    assert "plans__tasks_by_key" in explanation.plan, explanation.plan
    assert explanation.rows_examined <= 1.5 * TASKS / 2, explanation


@pytest.mark.parametrize("limit", [1, 10])
def test_a_limited_lookup_of_a_busy_user_examines_only_the_limit(store: SQLTaskManager, limit: int) -> None:
    explanation = store.explain("list_user_tasks", 3, ORGANIZATION, limit=limit)
    assert "plans__tasks_by_user" in explanation.plan, explanation.plan
    assert explanation.rows_examined <= 2 * limit + 5, explanation


@pytest.mark.parametrize("limit", [None, 1, 10])
@pytest.mark.parametrize(
    ("operation", "argument"),
    [("list_user_tasks", "1"), ("get_tasks_by_key", "big.3"), ("get_tasks_by_key_prefix", "big.")],
)
def test_a_lookup_in_a_small_organization_examines_only_its_result(
    store: SQLTaskManager, operation: Any, argument: str, limit: int | None
) -> None:
    found = len(getattr(store, operation)(argument, SMALL_ORGANIZATION))
    assert found in (1, RARE)
    explanation = store.explain(operation, argument, SMALL_ORGANIZATION, limit=limit)
    assert explanation.rows_examined <= 8 * found + 10, explanation


def test_explain_shows_a_scan_of_the_whole_table(store: SQLTaskManager) -> None:
    """This tests the measure: a query without an index examines every task. SQLite's estimate is lower."""
    statement = store.statements.render(f"SELECT * FROM {store.tables.tasks_name} AS t WHERE t.label = :label")
    deadline = store.deadline(None)
    with store.pool.connection(deadline) as connection:
        _, rows_examined = connection.explain(statement.sql, ["none"], deadline)
    assert rows_examined > TASKS / 10


def test_a_plan_for_an_empty_table_is_replaced_when_the_table_has_grown(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a connection that has prepared the lookup by prefix on an empty table
    manager = open_manager(postgresql_url, namespace="plans_grown", max_connections=1)
    assert isinstance(manager, SQLTaskManager)
    prefix = "rare."
    for _ in range(3):
        manager.get_tasks_by_key_prefix(prefix, ORGANIZATION)

    # when the table has grown, without new statistics, and some time has passed
    manager.import_tasks(list(tasks())[:5_000])
    monkeypatch.setattr(connection, "REPLAN_SECONDS", 0.0)
    assert len(manager.get_tasks_by_key_prefix(prefix, ORGANIZATION)) == RARE

    # then the prepared statement of the lookup uses the index of keys
    named = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%%task_key >=%%'"
    (row,) = manager.pool.fetch(named, (), manager.deadline(None))
    assert row is not None
    plan = manager.pool.fetch(f"EXPLAIN EXECUTE {row[0]}('7', 'rare.', 'rare/')", (), manager.deadline(None))
    assert any("plans_grown__tasks_by_key" in str(line) for line in plan)
    manager.close()
