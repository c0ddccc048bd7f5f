"""Every call on SQLite ends by its deadline: behind locks, in long statements and without a free connection."""

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

# How much later than its deadline a call may end on a busy machine. Without a deadline the calls below would take ten
# seconds or never end.
GRACE_SECONDS = 3.0


@pytest.fixture
def locked(manager: SQLTaskManager, path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection with an open write transaction."""
    manager.setup()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_a_locked_database_refuses_writes_and_serves_reads(
    manager: SQLTaskManager, locked: sqlite3.Connection, new_task: TaskMaker
) -> None:
    # when another process holds the write lock for longer than the deadline
    began = time.monotonic()
    with pytest.raises(TaskBackendUnavailableError, match="locked"):
        manager.create(new_task(), timeout_seconds=0.2)
    with pytest.raises(TaskBackendUnavailableError, match="locked"):
        manager.create(new_task(arguments=[1]), timeout_seconds=0.2)
    assert time.monotonic() - began < GRACE_SECONDS
    # then lookups still work
    assert manager.list_user_tasks(1, 7) == []
    # and when the lock is released, the next write is made
    locked.execute("ROLLBACK")
    manager.create(new_task())
    assert manager.count() == 1


def test_a_write_waits_for_another_within_its_deadline(
    manager: SQLTaskManager, locked: sqlite3.Connection, new_task: TaskMaker
) -> None:
    # given a writer that will commit soon
    writing = threading.Thread(target=lambda: manager.create(new_task(), timeout_seconds=30))
    writing.start()
    # when it has committed
    locked.execute("COMMIT")
    writing.join(30)
    # then the waiting write is made
    assert manager.count() == 1


def test_a_long_read_ends_at_its_deadline(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    # given a statement that runs for minutes
    manager.import_tasks(new_task() for _ in range(300))
    tasks = manager.tables.tasks_name
    endless = f"SELECT count(*) FROM {', '.join(f'{tasks} AS t{number}' for number in range(6))}"
    # when it runs with a deadline
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="interrupted") as caught:
        manager.pool.fetch(endless, (), began + 0.2)
    # then it ends in time, its error means that the store is unavailable, and the connection still works
    assert time.monotonic() - began < GRACE_SECONDS
    assert isinstance(manager.translate_error(caught.value), TaskBackendUnavailableError)
    assert manager.count() == 300


def test_a_lookup_without_time_fails(manager: SQLTaskManager) -> None:
    manager.setup()
    with pytest.raises(TaskBackendUnavailableError):
        manager.list_user_tasks(1, 7, timeout_seconds=-1)


def test_a_call_waits_for_a_busy_connection_until_its_deadline(opener: Opener) -> None:
    # given a pool of one connection that is in use
    manager = opener(max_connections=1)
    manager.setup()
    with manager.pool.connection(manager.deadline(None)):
        # when another call needs a connection, then it fails at its deadline
        began = time.monotonic()
        with pytest.raises(TaskBackendUnavailableError, match="all 1 connections"):
            manager.list_user_tasks(1, 7, timeout_seconds=0.1)
        assert time.monotonic() - began < GRACE_SECONDS
    # and afterwards the connection is free again
    assert manager.list_user_tasks(1, 7) == []


def test_failures_leak_no_connection(manager: SQLTaskManager, locked: sqlite3.Connection, new_task: TaskMaker) -> None:
    # when more writes fail than there are connections
    for _ in range(manager.dialect.connections + 5):
        with pytest.raises(TaskBackendUnavailableError):
            manager.create(new_task(), timeout_seconds=0.01)
    # then all of them are free
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
    # then all of them wrote to the same database
    assert manager.count() == 20


def test_each_manager_in_memory_has_its_own_database(opener: Opener, new_task: TaskMaker) -> None:
    first, second = opener("sqlite://"), opener("sqlite:///:memory:")
    first.create(new_task())
    assert (first.count(), second.count()) == (1, 0)


def test_a_row_that_is_not_utf_8_is_skipped_and_counted(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    # given three tasks, one of which another program has damaged
    tasks = [manager.create(new_task(label=f"task {number}"))[0] for number in range(3)]
    manager.pool.execute(
        f"UPDATE {manager.tables.tasks_name} SET label = CAST(x'ff00fe' AS TEXT) WHERE id = ?",
        [tasks[1].id],
        manager.deadline(None),
    )
    # when the user's tasks are listed
    rows = manager.list_user_tasks(1, 7)
    # then the result has the others, and counts the damaged one as skipped
    assert [row["id"] for row in rows] == [tasks[2].id, tasks[0].id]
    assert rows.skipped == 1
