"""Threads that write to one SQLite file at once share a transaction, and each is answered as if it wrote by itself."""

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
    """As queues of tasks raise it from the handler of a signal."""


class Line:
    """Calls on threads of their own, behind a first one that waits for the file, which somebody else writes to."""

    def __init__(self, manager: SQLTaskManager, path: Path) -> None:
        assert manager.pool.writers is not None
        self.manager = manager
        self.writers: GroupCommit = manager.pool.writers
        self.statements: list[str] = []
        for link in manager.pool.members:
            assert isinstance(link, SQLiteConnection)
            link.connection.set_trace_callback(self.statements.append)
        self.other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.other.execute("BEGIN IMMEDIATE")
        self.threads: list[threading.Thread] = []
        self.outcomes: dict[int, Any] = {}

    def add(self, call: Callable[[], object], *, waits: bool = True) -> int:
        """Its number; it stands in line, if it `waits`, or waits for the file."""
        number = len(self.threads)
        in_line = len(self.writers.waiting)

        def run() -> None:
            try:
                self.outcomes[number] = call()
            except BaseException as error:
                self.outcomes[number] = error

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()
        end = time.monotonic() + LONG_SECONDS
        while self.writers.leading.free or len(self.writers.waiting) != in_line + waits:
            assert time.monotonic() < end, f"call {number} is not where it should be"
            time.sleep(0.001)
        return number

    def run(self) -> list[Any]:
        """What each call gave or raised, once the file is free."""
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
def line(manager: SQLTaskManager, task: Task, path: Path) -> Iterator[Line]:
    line = Line(manager, path)
    line.add(lambda: manager.update(task.id, label="first", timeout_seconds=LONG_SECONDS), waits=False)
    yield line
    line.other.close()


def test_who_waits_is_written_with_the_next(
    manager: SQLTaskManager, line: Line, task: Task, new_task: TaskMaker
) -> None:
    # given reports of progress, ends with results, and new tasks of which some share a key, all at once
    others = [new_task(task_key=f"key {number % 4}", arguments=[number] * (number % 2)) for number in range(8)]
    for number in range(8):
        line.add(lambda number=number: manager.update(task.id, progress=number / 10, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    for other in others:
        line.add(lambda other=other: manager.create(other, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    line.add(lambda: manager.update(task.id, status="interrupted", result={"a": 1}, timeout_seconds=LONG_SECONDS))
    late = line.add(lambda: manager.update(task.id, progress=1, timeout_seconds=LONG_SECONDS))
    # when the file is free
    outcomes = line.run()
    # then one transaction holds them all
    assert line.commits() == 1
    # and each has its own answer, in the order of the line
    moments = [row["updated_at"] for row in outcomes[: 1 + 8]]
    assert moments == sorted(set(moments))
    assert [row["progress"] for row in outcomes[1 : 1 + 8]] == [number / 10 for number in range(8)]
    created = outcomes[9:17]
    assert [made for _, made in created] == [True] * 4 + [False] * 4
    assert [holder.id for holder, _ in created] == [other.id for other in others[:4]] * 2
    assert isinstance(outcomes[late], IllegalTransitionError)
    # and so it is stored
    stored = manager.get(task.id)
    assert stored is not None
    assert (stored.status, stored.progress, stored.result, stored.label) == ("interrupted", 0.7, {"a": 1}, "first")
    assert [manager.get(other.id) for other in others] == [*others[:4], *[None] * 4]


def test_nobody_is_told_of_success_before_the_commit(manager: SQLTaskManager, line: Line, task: Task) -> None:
    # given some in line, and a commit that does not come to its end
    is_committing, may_commit = threading.Event(), threading.Event()

    def hold_back(statement: str) -> None:
        if statement == "COMMIT":
            is_committing.set()
            may_commit.wait(LONG_SECONDS)

    for link in manager.pool.members:
        assert isinstance(link, SQLiteConnection)
        link.connection.set_trace_callback(hold_back)
    for number in range(4):
        line.add(lambda number=number: manager.update(task.id, progress=number / 10, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    # when all of them are written but not committed
    line.other.execute("ROLLBACK")
    assert is_committing.wait(LONG_SECONDS)
    line.threads[0].join(LONG_SECONDS)
    # then none has come back
    assert list(line.outcomes) == [0]
    stored = manager.get(task.id)
    assert stored is not None
    assert stored.progress == 0.0
    # and each does once it is
    may_commit.set()
    line.other.execute("BEGIN")
    assert [outcome["progress"] for outcome in line.run()[1:]] == [0.0, 0.1, 0.2, 0.3]


def test_one_that_fails_takes_no_other_along(manager: SQLTaskManager, line: Line, task: Task) -> None:
    # given one statement among others that cannot be
    def nonsense(link: Connection, deadline: float) -> int:
        return link.execute("INSERT INTO nowhere VALUES (1)", (), deadline)

    def update(number: int) -> Any:
        return manager.update(task.id, progress=number / 10, checkpoint=number, timeout_seconds=LONG_SECONDS)

    for number in range(1, 4):
        line.add(lambda number=number: update(number))  # type: ignore[misc]
    line.add(lambda: manager.pool.write(nonsense, manager.deadline(LONG_SECONDS)))
    line.add(lambda: update(4))
    # when the file is free
    outcomes = line.run()
    # then it alone has failed, and the others are written
    assert isinstance(outcomes[4], sqlite3.OperationalError)
    assert "nowhere" in str(outcomes[4])
    assert sorted(outcomes[number]["progress"] for number in (1, 2, 3, 5)) == [0.1, 0.2, 0.3, 0.4]
    stored = manager.get(task.id)
    assert stored is not None
    assert stored.checkpoint == round(stored.progress * 10)


def test_a_thread_that_is_interrupted_while_it_writes_for_others_loses_nothing_of_theirs(
    manager: SQLTaskManager, line: Line, task: Task
) -> None:
    # given a write that is interrupted whenever it runs
    def interrupted(link: Connection, deadline: float) -> int:
        raise KeyboardInterrupt

    line.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    line.add(lambda: manager.pool.write(interrupted, manager.deadline(LONG_SECONDS)))
    line.add(lambda: manager.update(task.id, label="last", timeout_seconds=LONG_SECONDS))
    # when the file is free
    outcomes = line.run()
    # then the one that wrote for all sees the interrupt, as does the one whose it is, and the others are written
    assert isinstance(outcomes[1], KeyboardInterrupt)
    assert isinstance(outcomes[2], KeyboardInterrupt)
    assert outcomes[3]["label"] == "last"
    stored = manager.get(task.id)
    assert stored is not None
    assert (stored.label, stored.progress) == ("last", 0.0)


def test_an_exception_from_outside_after_the_commit_runs_nothing_again(
    manager: SQLTaskManager, line: Line, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a handler of a signal that raises as the commit for two has come back
    execute = SQLiteConnection.execute

    def execute_and_raise(link: SQLiteConnection, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        count = execute(link, sql, arguments, deadline)
        if sql == "COMMIT":
            raise TimeLimitError
        return count

    monkeypatch.setattr(SQLiteConnection, "execute", execute_and_raise)
    line.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    line.add(lambda: manager.update(task.id, status="interrupted", timeout_seconds=LONG_SECONDS))
    # when the file is free
    outcomes = line.run()
    # then the thread that wrote has the exception, and the other is told that its write may be there, as it is
    assert isinstance(outcomes[1].__cause__, TimeLimitError)
    assert isinstance(outcomes[2], TaskBackendUnavailableError)
    assert "may be written" in str(outcomes[2])
    stored = manager.get(task.id)
    assert stored is not None
    assert stored.status == "interrupted"
    assert line.commits() == 1


def test_a_commit_that_takes_too_long_is_not_waited_for(
    manager: SQLTaskManager, line: Line, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a disk that stalls in a commit for two
    may_commit = threading.Event()
    execute = SQLiteConnection.execute

    def stall(link: SQLiteConnection, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        if sql == "COMMIT":
            may_commit.wait(LONG_SECONDS)
        return execute(link, sql, arguments, deadline)

    monkeypatch.setattr(SQLiteConnection, "execute", stall)
    line.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    hasty = line.add(lambda: manager.update(task.id, progress=0.2, timeout_seconds=2))
    line.other.execute("ROLLBACK")
    # when the time of the one that does not write is up, then it comes back
    line.threads[hasty].join(LONG_SECONDS)
    assert isinstance(line.outcomes[hasty], TaskBackendUnavailableError)
    assert "may be written" in str(line.outcomes[hasty])
    # and the other does once the disk goes on
    may_commit.set()
    line.other.execute("BEGIN")
    assert line.run()[1]["progress"] == 0.1


def test_what_went_into_a_file_that_was_replaced_is_written_to_the_new_one(
    manager: SQLTaskManager, task: Task, path: Path, new_task: TaskMaker
) -> None:
    # given some that wait for a file, the first of them no longer than until others stand behind the second
    line = Line(manager, path)
    line.add(lambda: manager.update(task.id, label="first", timeout_seconds=2), waits=False)
    tasks = [new_task() for _ in range(3)]
    for one in tasks:
        line.add(lambda one=one: manager.create(one, timeout_seconds=LONG_SECONDS))  # type: ignore[misc]
    line.threads[0].join(LONG_SECONDS)
    # when a copy takes the place of that file
    copy = path.with_suffix(".copy")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    for companion in ("", "-wal", "-shm"):
        Path(f"{path}{companion}").rename(f"{path}{companion}.aside")
    copy.rename(path)
    outcomes = line.run()
    line.other.close()
    # then what is acknowledged is there
    assert [created for _, created in outcomes[1:]] == [True] * 3
    assert [manager.get(one.id) for one in tasks] == tasks


def test_who_has_no_time_left_leaves_the_line(
    manager: SQLTaskManager, line: Line, task: Task, new_task: TaskMaker
) -> None:
    # given one in line whose time is up before the file is free
    never = new_task()
    line.add(lambda: manager.update(task.id, progress=0.1, timeout_seconds=LONG_SECONDS))
    late = line.add(lambda: manager.create(never, timeout_seconds=1))
    line.add(lambda: manager.update(task.id, label="last", timeout_seconds=LONG_SECONDS))
    line.threads[late].join(LONG_SECONDS)
    assert isinstance(line.outcomes[late], TaskBackendUnavailableError)
    assert "other threads were writing" in str(line.outcomes[late])
    # when it is free
    outcomes = line.run()
    # then that one was not written, and the others were
    assert outcomes[1]["progress"] == 0.1
    assert outcomes[3]["label"] == "last"
    assert manager.get(never.id) is None


def test_who_leads_and_has_no_time_left_hands_on(manager: SQLTaskManager, task: Task, path: Path) -> None:
    # given two that have less time than those behind them, and enough for all to come into line on a busy machine
    line = Line(manager, path)

    def update(number: int, seconds: float) -> Any:
        return manager.update(task.id, progress=number / 10, timeout_seconds=seconds)

    line.add(lambda: update(1, 5), waits=False)
    line.add(lambda: update(2, 8))
    line.add(lambda: update(3, LONG_SECONDS))
    line.add(lambda: update(4, LONG_SECONDS))
    # when each of the two has waited for the file in its time, the second for all behind it
    for thread in line.threads[:2]:
        thread.join(LONG_SECONDS)
    outcomes = line.run()
    line.other.close()
    # then they have failed, and those behind them have not
    assert [type(outcome) for outcome in outcomes[:2]] == [TaskBackendUnavailableError] * 2
    assert "locked" in str(outcomes[1])
    assert [outcome["progress"] for outcome in outcomes[2:]] == [0.3, 0.4]
    assert line.commits() == 1


def test_readers_have_connections_while_writers_wait(manager: SQLTaskManager, line: Line, new_task: TaskMaker) -> None:
    # given more threads that wait to write than there are connections
    for _ in range(manager.dialect.connections + 4):
        line.add(lambda: manager.create(new_task(), timeout_seconds=LONG_SECONDS))
    # when a lookup comes, then it gets a connection at once
    assert len(manager.list_user_tasks(1, 7, timeout_seconds=3)) == 1
    # and all of them have written once the file is free
    line.run()
    assert manager.count() == 1 + manager.dialect.connections + 4


def test_an_import_gets_its_turn_among_threads_that_write_without_end(
    manager: SQLTaskManager, task: Task, new_task: TaskMaker
) -> None:
    # given threads that report progress without end
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
    # when tasks are imported meanwhile, then that comes to its end, and they went on
    assert manager.import_tasks((new_task() for _ in range(2_000)), timeout_seconds=LONG_SECONDS) == 2_000
    has_ended.set()
    for thread in threads:
        thread.join(LONG_SECONDS)
    assert len(reports) == 4
    assert min(reports) > 0
