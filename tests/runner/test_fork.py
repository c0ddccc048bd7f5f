"""A process that forks while it runs work (clause SEE-07)."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.facade import runtime as runtime_module
from module_sdk.facade.runtime import get_runtime
from module_sdk.plugins.registry import registry
from module_sdk.store.manager import TaskManager
from module_sdk.testing import USER
from tests.support.forked import in_a_child
from tests.support.sample_work import Gate, add, get


@pytest.fixture
def busy(store: TaskManager) -> Any:
    """Yield the ids of a running coroutine and a running function; both complete after the test."""
    gates = [Gate("coroutine"), Gate("function")]
    ids = [gate.submit(gate.result) for gate in gates]
    yield ids
    for gate in gates:
        gate.opened.set()
    assert [tasks.wait(task_id, 10)["result"] for task_id in ids] == ["coroutine", "function"]


def test_a_child_can_look_up_tasks_and_run_work_of_its_own(store: TaskManager, busy: list[str]) -> None:
    @tasks.register("child.function")
    def function() -> int:
        return 5

    def check() -> None:
        assert {row["id"] for row in tasks.list_user_tasks(7, 3)} == set(busy)
        assert tasks.wait(tasks.run_background_sync(add(1, 2)), 10)["result"] == 3
        assert tasks.wait(tasks.run_background_sync("child.function"), 10)["result"] == 5
        tasks.shutdown(timeout_seconds=0)

    in_a_child(check)

    # then the child's shutdown has not affected the parent's work
    assert [get(store, task_id).status for task_id in busy] == ["running", "running"]


def test_locks_that_other_threads_held_at_the_fork_do_not_block_the_child(store: TaskManager) -> None:
    # given a thread that has every lock of the package at the fork and does not exist in the child
    runtime = get_runtime()
    locks: list[Any] = [registry.lock, runtime.lock, runtime_module.state_lock]
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        release.wait(30)
        for lock in locks:
            lock.release()

    locker = threading.Thread(target=hold)
    locker.start()
    assert held.wait(10)

    def check() -> None:
        assert tasks.list_user_tasks([]).error is not None  # type: ignore[arg-type]
        tasks.subscribe(print).close()
        module_sdk.register_observer(Observer())
        assert tasks.wait(tasks.run_background_sync(add(1, 2)), 10)["result"] == 3
        module_sdk.configure(url="memory://")

    in_a_child(check)

    release.set()
    locker.join()


class Observer:
    def module_sdk_lookup_failed(self, error: Exception) -> None: ...


def test_a_fork_inside_work_leaves_the_task_to_the_parent(store: TaskManager) -> None:
    @tasks.register("forking")
    def function() -> str:
        in_a_child(lambda: tasks.list_user_tasks(7, 3))
        return "done"

    assert tasks.wait(tasks.run_background_sync("forking"), 20)["result"] == "done"


def child_main(url: str, found: Any) -> None:
    module_sdk.configure(url=url)
    with module_sdk.session(user=USER):
        found.put(tasks.run_background_sync(add(1, 2), task_key="child"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_ends_its_work_before_it_exits(tmp_path: Path, method: str) -> None:
    # given a parent that runs work of its own
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    module_sdk.configure(url=url)
    gate = Gate("done")
    with module_sdk.session(user=USER):
        own = gate.submit("coroutine")

        context: Any = multiprocessing.get_context(method)
        found = context.Queue()
        child = context.Process(target=child_main, args=(url, found))
        child.start()
        theirs = found.get(timeout=30)
        child.join(30)

        assert child.exitcode == 0
        view = tasks.wait(theirs, 0)
        assert (view["status"], view["result"]) == ("completed", 3)
        gate.opened.set()
        assert tasks.wait(own, 10)["result"] == "done"
