"""The schema's versions and the steps between them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from module_sdk_sql.manager import SQLTaskManager
from module_sdk_sql.migrations import read_version, upgrade
from module_sdk_sql.schema import SCHEMA_VERSION, Tables, step_statements
from sqlalchemy import Column, Index, Table

from module_sdk import open_manager
from module_sdk.backends import ConfigurationError, Task

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]
spawn = multiprocessing.get_context("spawn")


def set_version(manager: SQLTaskManager, version: str) -> None:
    meta = manager.tables.meta_name
    manager.pool.execute(f"UPDATE {meta} SET value = ?", [version], manager.deadline(None))


def test_setup_twice_changes_nothing(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    manager.setup()
    manager.create(new_task())
    manager.setup()
    assert manager.count() == 1
    assert manager.diagnose().facts["schema version"] == str(SCHEMA_VERSION)


def test_a_newer_schema_is_refused_and_left_alone(manager: SQLTaskManager, opener: Opener, new_task: TaskMaker) -> None:
    # given a file that a later version has upgraded, with a column that this version does not know
    task, _ = manager.create(new_task())
    tasks = manager.tables.tasks_name
    manager.pool.execute(f"ALTER TABLE {tasks} ADD COLUMN later TEXT DEFAULT 'later'", (), manager.deadline(None))
    set_version(manager, "99")
    # when this version opens it
    older = opener()
    # then the error names both versions, also for setup
    for use in (older.count, older.setup, lambda: older.create(new_task())):
        with pytest.raises(ConfigurationError, match=f"version 99, this module-sdk knows {SCHEMA_VERSION}"):
            use()
    # and nothing was changed
    set_version(manager, str(SCHEMA_VERSION))
    assert opener().get(task.id) == task


def test_an_unknown_column_is_ignored(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    manager.setup()
    tasks = manager.tables.tasks_name
    manager.pool.execute(f"ALTER TABLE {tasks} ADD COLUMN other TEXT", (), manager.deadline(None))
    task, _ = manager.create(new_task())
    assert manager.get(task.id) == task
    assert len(manager.list_user_tasks(1, 7)) == 1


def test_a_version_that_is_no_number_is_a_configuration_error(manager: SQLTaskManager, opener: Opener) -> None:
    manager.setup()
    set_version(manager, "two")
    with pytest.raises(ConfigurationError, match="contains no version"):
        opener().count()


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> int:
    """The next version of the schema, with one more column and one more index."""
    version = SCHEMA_VERSION + 1
    columns, indexes = Tables.task_columns, Tables.task_indexes

    def more_columns(self: Tables) -> object:
        yield from columns(self)
        yield version, Column("shade", self.types.integer)

    def more_indexes(self: Tables, tasks: Table) -> object:
        yield from indexes(self, tasks)
        if self.version >= version:
            yield version, Index(f"{self.tasks_name}_by_shade", tasks.c.shade)

    monkeypatch.setattr(Tables, "task_columns", more_columns)
    monkeypatch.setattr(Tables, "task_indexes", more_indexes)
    return version


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def store_of_this_version(
    request: pytest.FixtureRequest, path: Path, opener: Opener, namespace: str, next_version: int
) -> SQLTaskManager:
    """A store of this version, and the code of the next."""
    url = f"sqlite:///{path}" if request.param == "sqlite" else request.getfixturevalue(f"{request.param}_url")
    manager = opener(url, namespace=namespace)
    manager.setup()
    assert not knows_shade(manager)
    manager.statements.tables = manager.tables.at_version(next_version)
    return manager


def knows_shade(manager: SQLTaskManager) -> bool:
    try:
        manager.pool.fetch(f"SELECT shade FROM {manager.tables.tasks_name}", (), manager.deadline(None))
    except Exception:  # each driver has its own class
        return False
    return True


def test_a_step_adds_the_columns_and_indexes_of_its_version(
    store_of_this_version: SQLTaskManager, new_task: TaskMaker, next_version: int
) -> None:
    # given a store of this version with a task
    manager = store_of_this_version
    task, _ = manager.create(new_task(arguments={"a": 1}))
    # when the code of the next version opens it
    deadline = manager.deadline(None)
    with manager.pool.connection(deadline) as connection:
        found = upgrade(connection, manager.statements, deadline)
        # then the step has run once, and a second upgrade does nothing
        assert found == SCHEMA_VERSION
        assert upgrade(connection, manager.statements, deadline) == next_version
        assert read_version(connection, manager.statements, deadline) == next_version
    assert knows_shade(manager)
    assert manager.get(task.id) == task


def test_an_interrupted_step_is_repeated_at_the_next_upgrade(
    store_of_this_version: SQLTaskManager, new_task: TaskMaker, next_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a step that fails after the new column, which MariaDB has already committed
    manager = store_of_this_version
    task, _ = manager.create(new_task())

    def broken(*arguments: object) -> object:
        yield from list(step_statements(*arguments))[:1]  # type: ignore[arg-type]
        yield "CREATE NONSENSE"

    monkeypatch.setattr("module_sdk_sql.migrations.step_statements", broken)
    deadline = manager.deadline(None)
    with pytest.raises(Exception, match="NONSENSE"), manager.pool.connection(deadline) as connection:
        upgrade(connection, manager.statements, deadline)
    with manager.pool.connection(deadline) as connection:
        assert read_version(connection, manager.statements, deadline) == SCHEMA_VERSION
    # when the step is repaired, then it runs from its beginning
    monkeypatch.setattr("module_sdk_sql.migrations.step_statements", step_statements)
    with manager.pool.connection(deadline) as connection:
        assert upgrade(connection, manager.statements, deadline) == SCHEMA_VERSION
        assert read_version(connection, manager.statements, deadline) == next_version
    assert knows_shade(manager)
    assert manager.get(task.id) == task


def test_a_new_store_runs_every_step(opener: Opener, next_version: int) -> None:
    compiler = opener().dialect.compiler
    tables = opener().tables
    *earlier, last = (
        list(step_statements(tables.at_version(version - 1), tables.at_version(version), compiler))
        for version in range(1, next_version + 1)
    )
    assert all(earlier)
    assert not any("shade" in statement for step in earlier for statement in step)
    assert len(last) == 2
    assert last[0].startswith("ALTER TABLE module_sdk__tasks ADD COLUMN shade")
    assert last[1].startswith("CREATE INDEX module_sdk__tasks_by_shade")


def test_a_failed_step_leaves_the_version_as_it_was(
    manager: SQLTaskManager, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a step that fails after its first statements
    def broken(*arguments: object) -> object:
        yield from list(step_statements(*arguments))[:2]  # type: ignore[arg-type]
        yield "CREATE NONSENSE"

    monkeypatch.setattr("module_sdk_sql.migrations.step_statements", broken)
    with pytest.raises(Exception, match="NONSENSE"):
        manager.setup()
    monkeypatch.undo()
    # when the step is repaired, then it runs from its beginning
    repaired = opener()
    repaired.setup()
    assert repaired.count() == 0


def test_namespaces_of_one_file_are_independent(opener: Opener, new_task: TaskMaker) -> None:
    first, second = opener(namespace="app"), opener(namespace="app_tasks")
    first.create(new_task(task_key="k"))
    second.create(new_task(task_key="k"))
    assert (first.count(), second.count()) == (1, 1)
    assert first.prune(0) == 0


def set_up(url: str, barrier: Barrier) -> None:
    manager = open_manager(url, timeout_seconds=60)
    barrier.wait(60)
    manager.setup()
    manager.close()


def test_eight_processes_set_up_at_once(path: Path, opener: Opener) -> None:
    barrier = spawn.Barrier(8)
    processes = [spawn.Process(target=set_up, args=(f"sqlite:///{path}", barrier)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert opener().count() == 0
