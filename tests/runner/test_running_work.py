"""Concurrent work: the bound on threads, nesting, and one active task per key (clauses DEDUP)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.store.manager import TaskManager
from tests.support.sample_work import Gate, Submit, add, each_submission, get, is_closed, until_status


def test_at_most_max_running_tasks_functions_run_at_once_and_the_rest_stay_pending(store: TaskManager) -> None:
    module_sdk.configure(manager=store, max_running_tasks=2)
    gates = [Gate(number) for number in range(2)]
    running = [gate.submit("function") for gate in gates]
    waiting = [Gate(), Gate()]
    for gate in waiting:
        tasks.register(f"waiting.{id(gate)}")(gate.function)
        gate.opened.set()

    pending = [tasks.run_background_sync(f"waiting.{id(gate)}") for gate in waiting]

    # then coroutines still run, and functions wait for a thread
    assert tasks.wait(tasks.run_background_sync(add(1, 2)), 10)["result"] == 3
    assert [get(store, task_id).status for task_id in running + pending] == ["running"] * 2 + ["pending"] * 2
    gates[0].opened.set()
    for task_id in pending:
        assert tasks.wait(task_id, 10)["status"] == "completed"
    assert get(store, running[1]).status == "running"
    gates[1].opened.set()
    assert tasks.wait(running[1], 10)["result"] == 1


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_work_can_submit_more_work(store: TaskManager, form: str) -> None:
    async def outer() -> list[Any]:
        inner = await tasks.run_background(add(1, 2), "Inner")
        return [tasks.current().id, inner, (await tasks.await_task(inner, 10))["result"]]

    @tasks.register("outer")
    def outer_function() -> list[Any]:
        inner = tasks.run_background_sync(add(1, 2), "Inner")
        return [tasks.current().id, inner, tasks.wait(inner, 10)["result"]]

    task_id = tasks.run_background_sync(outer() if form == "coroutine" else "outer", "Outer")

    # then each ran as its own task
    own, inner, result = tasks.wait(task_id, 10)["result"]
    assert (own, result) == (task_id, 3)
    assert get(store, inner).user_id == 7


def test_the_current_task_is_that_of_the_running_code(store: TaskManager) -> None:
    seen: dict[str, str] = {}

    async def outer() -> None:
        await tasks.await_task(await tasks.run_background(inner()), 10)
        seen["outer"] = tasks.current().id

    async def inner() -> None:
        seen["inner"] = tasks.current().id
        seen["thread"] = await asyncio.to_thread(lambda: tasks.current().id)

    task_id = tasks.run_background_sync(outer())
    tasks.wait(task_id, 10)

    assert seen["outer"] == task_id
    assert seen["inner"] == seen["thread"] != task_id
    with pytest.raises(module_sdk.ModuleSDKError, match="no current task"):
        tasks.current()


# --- One active task per key ------------------------------------------------------------------------------------------


@each_submission
@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_a_second_submission_of_an_active_key_starts_nothing(store: TaskManager, form: str, submit: Submit) -> None:
    gate = Gate("first")
    holder = gate.submit(form, task_key="k")
    second = add(1, 2)

    found = tasks.run_background_sync(second, task_key="k")
    also_found = asyncio.run(tasks.run_background(add(3, 4), task_key="k"))

    assert found == also_found == holder
    assert is_closed(second)
    assert store.count() == 1
    gate.opened.set()
    assert tasks.wait(holder, 10)["result"] == "first"
    assert submit(add(1, 2), task_key="k") != holder


def test_each_organization_can_have_an_active_task_of_the_same_key(store: TaskManager) -> None:
    gates = {organization: Gate() for organization in (3, 4, None)}
    ids = set()
    for organization, gate in gates.items():
        with module_sdk.session(user={"id": 7, "organization_id": organization}):
            ids.add(gate.submit("coroutine", task_key="k"))
    assert len(ids) == 3
    for gate in gates.values():
        gate.opened.set()
    for task_id in ids:
        until_status(store, task_id, "completed")


def test_threads_that_submit_one_key_at_once_get_one_task(store: TaskManager) -> None:
    gate, together, found = Gate(), threading.Barrier(8), []

    def submit() -> None:
        with module_sdk.session(user={"id": 7, "organization_id": 3}):
            together.wait(10)
            found.append(tasks.run_background_sync(gate.coroutine(), task_key="k"))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert store.count() == 1
    gate.opened.set()
    tasks.wait(found[0], 10)
