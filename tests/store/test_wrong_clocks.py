"""Host clocks that go back or are a day off (clauses ORDER-10 to 12)."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import Task, TaskManager
from module_sdk.domain.timestamps import ProcessClock, system_clock
from tests.support.forked import in_a_child

STORES: Final = ("memory", "sqlite", "postgresql", "mariadb", "valkey", "mongodb")
SHARED: Final = STORES[1:]
HOUR: Final = 3_600
DAY: Final = 24 * HOUR
# Seconds that may pass between two readings of a clock on a busy machine.
LEEWAY: Final = 60


@contextlib.contextmanager
def host_clock_off(seconds: float, *, new_process: bool = False) -> Iterator[None]:
    """Make the host's clock wrong. With `new_process`, forget earlier readings, as a process that has just started."""
    right = time.time_ns

    def wrong() -> int:
        return right() + round(seconds * 1_000_000_000)

    seen = FIRST_READING if new_process else system_clock.last
    with mock.patch("time.time_ns", wrong), mock.patch.object(system_clock, "last", seen):
        yield


FIRST_READING: Final = 0


@pytest.fixture
def open_store(
    tmp_path: Path, namespace: str, opened: Callable[..., TaskManager], request: pytest.FixtureRequest
) -> Any:
    def open_store(name: str) -> TaskManager:
        embedded = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'tasks.db'}"}
        return opened(embedded.get(name) or request.getfixturevalue(f"{name}_url"), namespace=namespace)

    return open_store


def submit(manager: TaskManager, **fields: Any) -> Task:
    task, _ = manager.create(Task.new(**{"user_id": 7, "organization_id": 3, "module": "tests", **fields}))
    return task


def run(manager: TaskManager, key: str) -> Task:
    """Run a task with that key to its end and return it."""
    task = submit(manager, task_key=key)
    manager.update(task.id, status="running")
    manager.update(task.id, status="completed")
    ended = manager.get(task.id)
    assert ended is not None
    assert ended.created_at == task.created_at
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.created_at <= ended.started_at < ended.finished_at == ended.updated_at
    return ended


# --- One process ------------------------------------------------------------------------------------------------------


def test_the_times_of_a_process_never_go_back() -> None:
    clock = ProcessClock()
    first = clock()
    with host_clock_off(-HOUR):
        later = [clock() for _ in range(100)]
    assert [first, *later] == sorted({first, *later})
    assert later[-1] - first <= 1_000_000
    # and its clock follows the host's clock once that has caught up
    with host_clock_off(HOUR):
        assert clock() > first + (HOUR - LEEWAY) * 1_000_000


def test_no_two_readings_of_threads_are_equal() -> None:
    clock = ProcessClock()
    read: list[list[int]] = [[] for _ in range(8)]
    threads = [threading.Thread(target=lambda own=own: own.extend(clock() for _ in range(2_000))) for own in read]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for own in read:
        assert own == sorted(own)
    assert len(set(itertools.chain(*read))) == 16_000


def test_ids_sort_as_the_times_of_creation_do() -> None:
    created: list[Task] = []

    def create() -> None:
        created.extend([Task.new(user_id=7, module="tests") for _ in range(2_000)])

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    with host_clock_off(-HOUR):
        create()
    for thread in threads:
        thread.join()

    created.sort(key=lambda task: task.created_at)
    ids = [task.id for task in created]
    assert ids == sorted(set(ids))


def test_the_clock_of_a_forked_child_continues_after_its_parents_last_reading() -> None:
    before = system_clock()

    def check() -> None:
        with host_clock_off(-DAY):
            assert system_clock() > before

    is_locked, may_unlock = threading.Event(), threading.Event()

    def lock_clock() -> None:
        with system_clock.lock:
            is_locked.set()
            may_unlock.wait(30)

    thread = threading.Thread(target=lock_clock)
    thread.start()
    is_locked.wait(30)
    # The child inherits a locked lock, but not the thread that would unlock it.
    in_a_child(check)
    may_unlock.set()
    thread.join()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_a_signal_handler_may_create_a_task_while_its_thread_reads_the_clock() -> None:
    created: list[int] = []
    earlier = signal.signal(signal.SIGUSR1, lambda *_: created.append(Task.new(user_id=7, module="tests").created_at))
    try:
        with system_clock.lock:
            os.kill(os.getpid(), signal.SIGUSR1)
            deadline = time.monotonic() + 30
            while not created and time.monotonic() < deadline:
                time.sleep(0.001)
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert created


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("seconds", [-2, -HOUR, -DAY])
def test_the_first_row_is_the_new_run_after_the_clock_was_set_back(
    open_store: Callable[[str], TaskManager], name: str, seconds: float
) -> None:
    # given a run that has ended, when the host's clock is set back and a new task has the same key
    manager = open_store(name)
    old = run(manager, "card")
    with host_clock_off(seconds):
        new = submit(manager, task_key="card")
        # then a page shows the new task
        if name == "mongodb" and seconds != -2:
            # The server moves the time to two seconds before its own clock and does not look for an earlier run.
            assert new.created_at > old.created_at - (2 + LEEWAY) * 1_000_000
        else:
            assert manager.get_tasks_by_key("card", 3)[0]["id"] == new.id
            assert new.created_at > old.created_at


# --- Several hosts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SHARED if name != "mongodb"])
@pytest.mark.parametrize("hours", [1, -1])
def test_the_first_row_is_the_new_run_of_any_host(
    open_store: Callable[[str], TaskManager], name: str, hours: int
) -> None:
    manager = open_store(name)
    run(manager, "card")

    def other_host() -> None:
        with host_clock_off(hours * HOUR, new_process=True):
            new = run(manager, "card")
            assert manager.get_tasks_by_key("card", 3)[0]["id"] == new.id

    in_a_child(other_host)
    for _ in range(2):
        new = run(manager, "card")
        assert manager.get_tasks_by_key("card", 3)[0]["id"] == new.id
    times = [row["created_at"] for row in manager.get_tasks_by_key("card", 3)]
    assert times == sorted(set(times), reverse=True)
    assert len(times) == 4


@pytest.mark.parametrize("name", STORES[2:])
@pytest.mark.parametrize("days", [1, -1])
def test_a_host_whose_clock_is_a_day_off_does_not_affect_the_times_of_others(
    open_store: Callable[[str], TaskManager], name: str, days: int
) -> None:
    # given tasks of a host whose clock is a day off, and changes that it makes
    manager = open_store(name)
    existing = submit(manager, task_key="existing")
    with host_clock_off(days * DAY, new_process=True):
        wrong = [run(manager, "card"), submit(manager), submit(manager, task_key="other", arguments={"a": 1})]
        manager.update(existing.id, status="running")
        manager.update(existing.id, progress=0.5)
    # then no stored time is a day off, and later tasks of other hosts have the right time
    now = system_clock() // 1_000_000
    changed = manager.get(existing.id)
    assert changed is not None
    for task in (*wrong, changed, run(manager, "card"), submit(manager)):
        read = manager.get(task.id)
        assert read == task
        for moment in (task.created_at, task.updated_at, task.started_at, task.finished_at):
            assert moment is None or abs(moment // 1_000_000 - now) < LEEWAY


@pytest.mark.parametrize("name", STORES)
def test_an_imported_task_of_the_year_9999_does_not_affect_the_times_of_others(
    open_store: Callable[[str], TaskManager], name: str
) -> None:
    manager = open_store(name)
    far = Task.new(user_id=7, organization_id=3, module="tests", task_key="card", now=253_000_000_000_000_000)
    manager.import_tasks([far])
    manager.update(far.id, status="failed")

    for _ in range(3):
        before = system_clock()
        task = run(manager, "card")
        assert abs(task.created_at - before) < LEEWAY * 1_000_000
    times = [row["created_at"] for row in manager.get_tasks_by_key("card", 3)]
    assert times == sorted(set(times), reverse=True)


@pytest.mark.parametrize("name", STORES)
def test_the_facade_shows_the_times_that_were_stored(open_store: Callable[[str], TaskManager], name: str) -> None:
    # given a host whose clock was set back between two runs of a key
    manager = open_store(name)
    module_sdk.configure(manager=manager)
    seen: list[dict[str, Any]] = []

    class Observer:
        @module_sdk.hookimpl
        def module_sdk_task_changed(self, row: dict[str, Any], change: str) -> None:
            if change == "created":
                seen.append(row)

    async def work() -> None:
        pass

    module_sdk.register_observer(Observer())
    with module_sdk.session(user={"id": 7, "organization_id": 3}, module="tests"):
        for seconds in (0, -HOUR):
            with host_clock_off(seconds, new_process=True):
                task_id = tasks.run_background_sync(work(), task_key="card")
                tasks.wait(task_id, timeout_seconds=30)
        shown = {row["id"]: row["created_at"] for row in tasks.get_tasks_by_key("card", 3)}
    # then observers have received the same times as lookups return
    assert {row["id"]: row["created_at"] for row in seen} == shown
