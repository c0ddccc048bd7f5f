"""Every call on SQLite ends by its deadline, whatever stands in its way."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from module_sdk_sql.manager import SQLTaskManager

from module_sdk.backends import Task, TaskBackendUnavailableError

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

# A busy machine may be this much late; without a bound the calls below would take ten seconds or for ever.
GRACE_SECONDS = 3.0


@pytest.fixture
def locked(manager: SQLTaskManager, path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection that is in the middle of a write."""
    manager.setup()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_a_locked_database_is_unavailable_for_writes_and_there_for_reads(
    manager: SQLTaskManager, locked: sqlite3.Connection, new_task: TaskMaker
) -> None:
    # when another process holds the write lock for longer than the deadline
    began = time.monotonic()
    with pytest.raises(TaskBackendUnavailableError, match="locked"):
        manager.create(new_task(), timeout_seconds=0.2)
    with pytest.raises(TaskBackendUnavailableError, match="locked"):
        manager.create(new_task(arguments=[1]), timeout_seconds=0.2)
    assert time.monotonic() - began < GRACE_SECONDS
    # then lookups answer all the same
    assert manager.list_user_tasks(1, 7) == []
    # and when it is released, the next write goes through
    locked.execute("ROLLBACK")
    manager.create(new_task())
    assert manager.count() == 1


def test_a_write_waits_for_another_within_its_deadline(
    manager: SQLTaskManager, locked: sqlite3.Connection, new_task: TaskMaker
) -> None:
    # given a writer that will commit soon
    writing = threading.Thread(target=lambda: manager.create(new_task(), timeout_seconds=30))
    writing.start()
    # when it has
    locked.execute("COMMIT")
    writing.join(30)
    # then the one that waited has written
    assert manager.count() == 1


def test_a_long_read_is_interrupted(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    # given a statement that runs for minutes
    manager.import_tasks(new_task() for _ in range(300))
    tasks = manager.tables.tasks_name
    endless = f"SELECT count(*) FROM {', '.join(f'{tasks} AS t{number}' for number in range(6))}"
    # when it runs under a deadline
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="interrupted") as caught:
        manager.pool.fetch(endless, (), began + 0.2)
    # then it ends by then, as a failure of availability, and the connection serves on
    assert time.monotonic() - began < GRACE_SECONDS
    assert isinstance(manager.translate_error(caught.value), TaskBackendUnavailableError)
    assert manager.count() == 300


def test_no_time_is_no_answer(manager: SQLTaskManager) -> None:
    manager.setup()
    with pytest.raises(TaskBackendUnavailableError):
        manager.list_user_tasks(1, 7, timeout_seconds=-1)


def test_busy_connections_are_waited_for_until_the_deadline(opener: Opener) -> None:
    # given a pool of one connection that is in use
    manager = opener(max_connections=1)
    manager.setup()
    with manager.pool.connection(manager.deadline(None)):
        # when another call needs one, then it fails in time
        began = time.monotonic()
        with pytest.raises(TaskBackendUnavailableError, match="all 1 connections"):
            manager.list_user_tasks(1, 7, timeout_seconds=0.1)
        assert time.monotonic() - began < GRACE_SECONDS
    # and afterwards there is one again
    assert manager.list_user_tasks(1, 7) == []


def test_failures_lose_no_connection(manager: SQLTaskManager, locked: sqlite3.Connection, new_task: TaskMaker) -> None:
    # when more writes fail than there are connections
    for _ in range(manager.dialect.connections + 5):
        with pytest.raises(TaskBackendUnavailableError):
            manager.create(new_task(), timeout_seconds=0.01)
    # then all of them can still be had
    assert manager.pool.slots.free == manager.dialect.connections
    assert len(manager.pool.members) <= manager.dialect.connections
    assert manager.list_user_tasks(1, 7) == []


def test_a_database_in_memory_serves_many_threads(opener: Opener, new_task: TaskMaker) -> None:
    # given one database in memory
    manager = opener("sqlite://")
    # when threads write to it at once
    threads = [
        threading.Thread(target=lambda: [manager.create(new_task(task_key=f"k{number}")) for number in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # then they all wrote to the same one
    assert manager.count() == 20


def test_each_manager_in_memory_has_its_own_database(opener: Opener, new_task: TaskMaker) -> None:
    first, second = opener("sqlite://"), opener("sqlite:///:memory:")
    first.create(new_task())
    assert (first.count(), second.count()) == (1, 0)


def test_text_that_is_no_utf_8_costs_that_row_only(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    # given three tasks, one of which some other program has damaged
    tasks = [manager.create(new_task(label=f"task {number}"))[0] for number in range(3)]
    manager.pool.execute(
        f"UPDATE {manager.tables.tasks_name} SET label = CAST(x'ff00fe' AS TEXT) WHERE id = ?",
        [tasks[1].id],
        manager.deadline(None),
    )
    # when the user's tasks are listed
    rows = manager.list_user_tasks(1, 7)
    # then the others come, and the damage is counted
    assert [row["id"] for row in rows] == [tasks[2].id, tasks[0].id]
    assert rows.skipped == 1
