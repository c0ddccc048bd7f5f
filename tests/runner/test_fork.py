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
    """A runner with work of both forms under way, and async threads that have been used."""
    gates = [Gate("coroutine"), Gate("function")]
    ids = [gate.submit(gate.result) for gate in gates]
    yield ids
    for gate in gates:
        gate.opened.set()
    assert [tasks.wait(task_id, 10)["result"] for task_id in ids] == ["coroutine", "function"]


def test_a_child_looks_up_and_runs_work_of_its_own(store: TaskManager, busy: list[str]) -> None:
    # given
    @tasks.register("child.function")
    def function() -> int:
        return 5

    def check() -> None:
        assert {row["id"] for row in tasks.list_user_tasks(7, 3)} == set(busy)
        assert tasks.wait(tasks.run_background_sync(add(1, 2)), 10)["result"] == 3
        assert tasks.wait(tasks.run_background_sync("child.function"), 10)["result"] == 5
        tasks.shutdown(timeout_seconds=0)

    # then, and the parent's work is not touched by the child's shutdown
    in_a_child(check)
    assert [get(store, task_id).status for task_id in busy] == ["running", "running"]


def test_locks_that_other_threads_held_do_not_stop_the_child(store: TaskManager) -> None:
    # given every lock of the package held by a thread that does not exist in the child
    runtime = get_runtime()
    locks: list[Any] = [registry.lock, runtime.lock, runtime_module.state_lock]
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        holding.set()
        release.wait(30)
        for lock in locks:
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(10)

    # when
    def check() -> None:
        assert tasks.list_user_tasks([]).error is not None  # type: ignore[arg-type]
        tasks.subscribe(print).close()
        module_sdk.register_observer(Observer())
        assert tasks.wait(tasks.run_background_sync(add(1, 2)), 10)["result"] == 3
        module_sdk.configure(url="memory://")

    in_a_child(check)

    # then
    release.set()
    holder.join()


class Observer:
    def module_sdk_lookup_failed(self, error: Exception) -> None: ...


def test_a_fork_inside_work_leaves_the_task_to_the_parent(store: TaskManager) -> None:
    # given
    @tasks.register("forking")
    def function() -> str:
        in_a_child(lambda: tasks.list_user_tasks(7, 3))
        return "done"

    # then
    assert tasks.wait(tasks.run_background_sync("forking"), 20)["result"] == "done"


def child_main(url: str, found: Any) -> None:
    module_sdk.configure(url=url)
    with module_sdk.session(user=USER):
        found.put(tasks.run_background_sync(add(1, 2), task_key="child"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_ends_its_work_before_it_exits(tmp_path: Path, method: str) -> None:
    # given a parent that runs work itself
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    module_sdk.configure(url=url)
    gate = Gate("done")
    with module_sdk.session(user=USER):
        own = gate.submit("coroutine")

        # when
        context: Any = multiprocessing.get_context(method)
        found = context.Queue()
        child = context.Process(target=child_main, args=(url, found))
        child.start()
        theirs = found.get(timeout=30)
        child.join(30)

        # then
        assert child.exitcode == 0
        view = tasks.wait(theirs, 0)
        assert (view["status"], view["result"]) == ("completed", 3)
        gate.opened.set()
        assert tasks.wait(own, 10)["result"] == "done"
