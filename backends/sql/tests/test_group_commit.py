"""Threads that write to one SQLite file at once share a transaction, and each gets the result of its own write."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from module_sdk_sql.dialects.base import Connection
from module_sdk_sql.dialects.sqlite.connection import SQLiteConnection
from module_sdk_sql.group_commit import GroupCommit
from module_sdk_sql.manager import SQLTaskManager

from module_sdk.backends import Task, TaskBackendUnavailableError
from module_sdk.errors import IllegalTransitionError

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

LONG_SECONDS = 60.0


class TimeLimitError(Exception):
    """The exception that task queues raise from a signal handler."""


class BlockedWrites:
    """Calls on separate threads, behind a first one that waits for the file while another connection writes to it."""

    def __init__(self, manager: SQLTaskManager, path: Path) -> None:
        assert manager.pool.writers is not None
        self.manager = manager
        self.writers: GroupCommit = manager.pool.writers
        self.statements: list[str] = []
        for connection in manager.pool.members:
            assert isinstance(connection, SQLiteConnection)
            connection.raw.set_trace_callback(self.statements.append)
        self.other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.other.execute("BEGIN IMMEDIATE")
        self.threads: list[threading.Thread] = []
        self.outcomes: dict[int, Any] = {}

    def add(self, call: Callable[[], object], *, in_queue: bool = True) -> int:
        """Start a call and return its number, once it is in the queue, or waits for the file if not `in_queue`."""
        number = len(self.threads)
        queued = len(self.writers.waiting)

        def run() -> None:
            try:
                self.outcomes[number] = call()
            except BaseException as error:
                self.outcomes[number] = error

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()
        end = time.monotonic() + LONG_SECONDS
        while self.writers.leading.free or len(self.writers.waiting) != queued + in_queue:
            assert time.monotonic() < end, f"call {number} did not start to wait"
            time.sleep(0.001)
        return number

    def run(self) -> list[Any]:
        """Free the file and return what each call returned or raised."""
        self.other.execute("ROLLBACK")
        for thread in self.threads:
            thread.join(LONG_SECONDS)
        assert self.writers.leading.free == 1
        assert not self.writers.waiting
        return [self.outcomes[number] for number in range(len(self.threads))]

    def commits(self) -> int:
        return self.statements.count("COMMIT")


@pytest.fixture
def task(manager: SQLTaskManager, new_task: TaskMaker) -> Task:
    return manager.create(new_task())[0]


@pytest.fixture
def blocked(manager: SQLTaskManager, task: Task, path: Path) -> Iterator[BlockedWrites]:
    blocked = BlockedWrites(manager, path)
    blocked.add(lambda: manager.update(task.id, label="first", timeout_seconds=LONG_SECONDS), in_queue=False)
    yield blocked
    blocked.other.close()


def test_all_waiting_writes_share_one_commit(
    manager: SQLTaskManager, blocked: BlockedWrites, task: Task, new_task: TaskMaker
) -> None:
    # given queued progress reports, new tasks of which some share a key, an end with a result, and a late report
    others = [new_task(task_key=f"key {number % 4}", arguments=[number] * (number % 2)) for number in range(8)]
    for number in range(8):
        blocked.add(lambda number=number: manager.update(task.id, progress=number / 10, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    for other in others:
        blocked.add(lambda other=other: manager.create(other, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    blocked.add(lambda: manager.update(task.id, status="interrupted", result={"a": 1}, timeout_seconds=LONG_SECONDS))
    late = blocked.add(lambda: manager.update(task.id, progress=1, timeout_seconds=LONG_SECONDS))
    # when the file is free
    outcomes = blocked.run()
    # then they are committed in one transaction
    assert blocked.commits() == 1
    # and each call has its own result, in the order of the queue
    moments = [row["updated_at"] for row in outcomes[: 1 + 8]]
    assert moments == sorted(set(moments))
    assert [row["progress"] for row in outcomes[1 : 1 + 8]] == [number / 10 for number in range(8)]
    created = outcomes[9:17]
    assert [made for _, made in created] == [True] * 4 + [False] * 4
    assert [holder.id for holder, _ in created] == [other.id for other in others[:4]] * 2
    assert isinstance(outcomes[late], IllegalTransitionError)
    # and the store contains the same
    stored = manager.get(task.id)
    assert stored is not None
    assert (stored.status, stored.progress, stored.result, stored.label) == ("interrupted", 0.7, {"a": 1}, "first")
    assert [manager.get(other.id) for other in others] == [*others[:4], *[None] * 4]


def test_no_call_returns_before_the_commit(manager: SQLTaskManager, blocked: BlockedWrites, task: Task) -> None:
    # given queued writes, and a commit that does not end
    is_committing, may_commit = threading.Event(), threading.Event()

    def hold_back(statement: str) -> None:
        if statement == "COMMIT":
            is_committing.set()
            may_commit.wait(LONG_SECONDS)

    for connection in manager.pool.members:
        assert isinstance(connection, SQLiteConnection)
        connection.raw.set_trace_callback(hold_back)
    for number in range(4):
        blocked.add(lambda number=number: manager.update(task.id, progress=number / 10, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    # when all of them are executed but not committed, and the first call, which ran alone, has returned
    blocked.other.execute("ROLLBACK")
    assert is_committing.wait(LONG_SECONDS)
    blocked.threads[0].join(LONG_SECONDS)
    # then none of the queued calls has returned
    assert list(blocked.outcomes) == [0]
    stored = manager.get(task.id)
    assert stored is not None
    assert stored.progress == 0.0
    # and each returns after the commit
    may_commit.set()
    blocked.other.execute("BEGIN")
    assert [outcome["progress"] for outcome in blocked.run()[1:]] == [0.0, 0.1, 0.2, 0.3]


def test_a_write_that_fails_does_not_fail_the_others_of_its_batch(
    manager: SQLTaskManager, blocked: BlockedWrites, task: Task
) -> None:
    # given one invalid statement among others
    def nonsense(connection: Connection, deadline: float) -> int:
        return connection.execute("INSERT INTO nowhere VALUES (1)", (), deadline)

    def update(number: int) -> Any:
        return manager.update(task.id, progress=number / 10, checkpoint=number, timeout_seconds=LONG_SECONDS)

    for number in range(1, 4):
        blocked.add(lambda number=number: update(number))  # type: ignore[misc]
    blocked.add(lambda: manager.pool.write(nonsense, manager.deadline(LONG_SECONDS)))
    blocked.add(lambda: update(4))
    # when the file is free
    outcomes = blocked.run()
    # then only that statement has failed, and the others are written
    assert isinstance(outcomes[4], sqlite3.OperationalError)
    assert "nowhere" in str(outcomes[4])
    assert sorted(outcomes[number]["progress"] for number in (1, 2, 3, 5)) == [0.1, 0.2, 0.3, 0.4]
    stored = manager.get(task.id)
    assert stored is not None
    assert stored.checkpoint == round(stored.progress * 10)


def test_an_interrupted_leader_loses_no_write_of_other_threads(
    manager: SQLTaskManager, blocked: BlockedWrites, task: Task
) -> None:
    # given a write that is interrupted each time it runs
    def interrupted(connection: Connection, deadline: float) -> int:
        raise KeyboardInterrupt

    blocked.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    blocked.add(lambda: manager.pool.write(interrupted, manager.deadline(LONG_SECONDS)))
    blocked.add(lambda: manager.update(task.id, label="last", timeout_seconds=LONG_SECONDS))
    # when the file is free
    outcomes = blocked.run()
    # then the leader and the thread of that write receive the interrupt, and the last write is made
    assert isinstance(outcomes[1], KeyboardInterrupt)
    assert isinstance(outcomes[2], KeyboardInterrupt)
    assert outcomes[3]["label"] == "last"
    stored = manager.get(task.id)
    assert stored is not None
    assert (stored.label, stored.progress) == ("last", 0.0)


def test_an_interrupt_after_the_commit_repeats_no_write(
    manager: SQLTaskManager, blocked: BlockedWrites, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a signal handler that raises when the commit of two writes has returned
    execute = SQLiteConnection.execute

    def execute_and_raise(connection: SQLiteConnection, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        count = execute(connection, sql, arguments, deadline)
        if sql == "COMMIT":
            raise TimeLimitError
        return count

    monkeypatch.setattr(SQLiteConnection, "execute", execute_and_raise)
    blocked.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    blocked.add(lambda: manager.update(task.id, status="interrupted", timeout_seconds=LONG_SECONDS))
    # when the file is free
    outcomes = blocked.run()
    # then the leader's error has the exception as its cause, and the other thread's write may exist, and does
    assert isinstance(outcomes[1].__cause__, TimeLimitError)
    assert isinstance(outcomes[2], TaskBackendUnavailableError)
    assert "may have been written" in str(outcomes[2])
    stored = manager.get(task.id)
    assert stored is not None
    assert stored.status == "interrupted"
    assert blocked.commits() == 1


def test_a_call_does_not_wait_for_a_commit_beyond_its_deadline(
    manager: SQLTaskManager, blocked: BlockedWrites, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a disk that stalls in the commit of two writes
    may_commit = threading.Event()
    execute = SQLiteConnection.execute

    def stall(connection: SQLiteConnection, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        if sql == "COMMIT":
            may_commit.wait(LONG_SECONDS)
        return execute(connection, sql, arguments, deadline)

    monkeypatch.setattr(SQLiteConnection, "execute", stall)
    blocked.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    hasty = blocked.add(lambda: manager.update(task.id, progress=0.2, timeout_seconds=2))
    blocked.other.execute("ROLLBACK")
    # when the deadline of the waiting thread passes, then its call fails
    blocked.threads[hasty].join(LONG_SECONDS)
    assert isinstance(blocked.outcomes[hasty], TaskBackendUnavailableError)
    assert "may have been written" in str(blocked.outcomes[hasty])
    # and the leader's call returns when the disk works again
    may_commit.set()
    blocked.other.execute("BEGIN")
    assert blocked.run()[1]["progress"] == 0.1


def test_writes_to_a_replaced_file_are_repeated_in_the_new_one(
    manager: SQLTaskManager, task: Task, path: Path, new_task: TaskMaker
) -> None:
    # given writes that wait for a file, of which the first gives up when the others are in the queue
    blocked = BlockedWrites(manager, path)
    blocked.add(lambda: manager.update(task.id, label="first", timeout_seconds=2), in_queue=False)
    tasks = [new_task() for _ in range(3)]
    for one in tasks:
        blocked.add(lambda one=one: manager.create(one, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    blocked.threads[0].join(LONG_SECONDS)
    # when a copy replaces that file
    copy = path.with_suffix(".copy")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    for companion in ("", "-wal", "-shm"):
        Path(f"{path}{companion}").rename(f"{path}{companion}.aside")
    copy.rename(path)
    outcomes = blocked.run()
    blocked.other.close()
    # then all acknowledged tasks exist
    assert [created for _, created in outcomes[1:]] == [True] * 3
    assert [manager.get(one.id) for one in tasks] == tasks


def test_a_write_leaves_the_queue_at_its_deadline(
    manager: SQLTaskManager, blocked: BlockedWrites, task: Task, new_task: TaskMaker
) -> None:
    # given a queued write whose deadline passes before the file is free
    never = new_task()
    blocked.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    late = blocked.add(lambda: manager.create(never, timeout_seconds=1))
    blocked.add(lambda: manager.update(task.id, label="last", timeout_seconds=LONG_SECONDS))
    blocked.threads[late].join(LONG_SECONDS)
    assert isinstance(blocked.outcomes[late], TaskBackendUnavailableError)
    assert "other threads were writing" in str(blocked.outcomes[late])
    # when the file is free
    outcomes = blocked.run()
    # then that task was not created, and the other writes were made
    assert outcomes[1]["progress"] == 0.1
    assert outcomes[3]["label"] == "last"
    assert manager.get(never.id) is None


def test_a_leader_that_fails_at_its_deadline_is_replaced(manager: SQLTaskManager, task: Task, path: Path) -> None:
    # given two calls with less time than those after them, but enough for all to be queued on a busy machine
    blocked = BlockedWrites(manager, path)

    def update(number: int, seconds: float) -> Any:
        return manager.update(task.id, progress=number / 10, timeout_seconds=seconds)

    blocked.add(lambda: update(1, 5), in_queue=False)
    blocked.add(lambda: update(2, 8))
    blocked.add(lambda: update(3, LONG_SECONDS))
    blocked.add(lambda: update(4, LONG_SECONDS))
    # when each of the two has waited for the file until its deadline, the second as the leader of all after it
    for thread in blocked.threads[:2]:
        thread.join(LONG_SECONDS)
    outcomes = blocked.run()
    blocked.other.close()
    # then these two have failed, and the others have not
    assert [type(outcome) for outcome in outcomes[:2]] == [TaskBackendUnavailableError] * 2
    assert "locked" in str(outcomes[1])
    assert [outcome["progress"] for outcome in outcomes[2:]] == [0.3, 0.4]
    assert blocked.commits() == 1


def test_readers_have_connections_while_writers_wait(
    manager: SQLTaskManager, blocked: BlockedWrites, new_task: TaskMaker
) -> None:
    # given more waiting writers than connections
    for _ in range(manager.dialect.connections + 4):
        blocked.add(lambda: manager.create(new_task(), timeout_seconds=LONG_SECONDS))
    # when a lookup is made, then it gets a connection at once
    assert len(manager.list_user_tasks(1, 7, timeout_seconds=3)) == 1
    # and all writes are made when the file is free
    blocked.run()
    assert manager.count() == 1 + manager.dialect.connections + 4


def test_an_import_is_not_starved_by_threads_that_write_all_the_time(
    manager: SQLTaskManager, task: Task, new_task: TaskMaker
) -> None:
    # given threads that report progress without a pause
    has_ended = threading.Event()
    reports: list[int] = []

    def report() -> None:
        written = 0
        while not has_ended.is_set():
            assert manager.update(task.id, progress=0.5, timeout_seconds=LONG_SECONDS) is not None
            written += 1
        reports.append(written)

    threads = [threading.Thread(target=report, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    # when tasks are imported meanwhile, then the import ends, and the threads have written too
    assert manager.import_tasks((new_task() for _ in range(2_000)), timeout_seconds=LONG_SECONDS) == 2_000
    has_ended.set()
    for thread in threads:
        thread.join(LONG_SECONDS)
    assert len(reports) == 4
    assert min(reports) > 0
