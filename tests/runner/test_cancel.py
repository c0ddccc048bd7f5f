"""Cancelling, which changes the record first and then stops the work, and waiting for an end."""

from __future__ import annotations

import asyncio
import math
import threading
from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import InvalidInputError, TaskBackendError, TaskCancelledError, TaskNotFoundError
from module_sdk.store.manager import TaskManager
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, Stoppable, add, get, is_closed

UNKNOWN = "01890000-0000-7000-8000-000000000000"


forms = pytest.mark.parametrize("form", ["coroutine", "function"])


@forms
def test_cancelling_running_work_records_it_and_stops_it(store: TaskManager, form: str) -> None:
    work = Stoppable()
    task_id = work.submit(form, task_key="k")

    assert tasks.cancel(task_id) is True

    # then the key is free immediately, and the work stops
    task = get(store, task_id)
    assert (task.status, task.error) == ("interrupted", "cancelled")
    other = tasks.run_background_sync(add(1, 2), task_key="k")
    assert other != task_id
    assert work.stopped.wait(10)
    assert work.received == ([asyncio.CancelledError] if form == "coroutine" else [])
    assert tasks.cancel(task_id) is False
    tasks.shutdown()
    assert get(store, task_id) == task


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_an_ended_or_unknown_task_cannot_be_cancelled(store: TaskManager, asynchronous: bool) -> None:
    ended = tasks.run_background_sync(add(1, 2))
    tasks.wait(ended, 10)
    before = get(store, ended)

    for task_id in (ended, UNKNOWN, "no id", ""):
        assert (asyncio.run(tasks.acancel(task_id)) if asynchronous else tasks.cancel(task_id)) is False
    assert get(store, ended) == before
    with pytest.raises(InvalidInputError):
        tasks.cancel(5)  # type: ignore[arg-type]


def test_work_that_waits_for_a_thread_can_be_cancelled_and_never_runs(store: TaskManager) -> None:
    # given one thread for functions, and a function that waits for it
    module_sdk.configure(manager=store, max_running_tasks=1)
    gate, waiting = Gate(), Gate()
    running = gate.submit("function")
    tasks.register("waiting")(waiting.function)
    task_id = tasks.run_background_sync("waiting", task_key="k")

    assert tasks.cancel(task_id)
    gate.opened.set()
    tasks.wait(running, 10)
    tasks.shutdown()

    assert not waiting.begun.is_set()
    assert get(store, task_id).error == "cancelled"
    assert get(store, task_id).started_at is None


def test_a_coroutine_cancelled_before_it_begins_is_closed_and_never_runs() -> None:
    # given a store that pauses the write of the task's start
    manager = FaultyManager()
    asked, release = threading.Event(), threading.Event()

    def pause(change: Any) -> None:
        if change.fields.get("status") == "running":
            asked.set()
            assert release.wait(10)

    manager.before_update = pause
    module_sdk.configure(manager=manager)
    work = Stoppable()
    coroutine = work.coroutine()
    with module_sdk.session(user={"id": 1}):
        task_id = tasks.run_background_sync(coroutine)
        assert asked.wait(10)

        assert tasks.cancel(task_id)
        release.set()
        tasks.shutdown()

    assert get(manager, task_id).error == "cancelled"
    assert not work.begun.is_set()
    assert is_closed(coroutine)


@forms
def test_a_task_may_cancel_itself(store: TaskManager, form: str) -> None:
    async def coroutine() -> str:
        assert await tasks.acancel(tasks.current().id)
        await asyncio.sleep(60)
        return "never"

    @tasks.register("self.cancelling")
    def function() -> str:
        assert tasks.cancel(tasks.current().id)
        assert tasks.current().cancelled
        tasks.current().update_progress(0.5)
        return "never"

    task_id = tasks.run_background_sync(coroutine() if form == "coroutine" else "self.cancelling")
    view = tasks.wait(task_id, 10)

    assert (view["status"], view["error"], view["result"]) == ("interrupted", "cancelled", None)
    tasks.shutdown()


def test_work_that_ignores_being_cancelled_changes_nothing(store: TaskManager) -> None:
    begun, finished = threading.Event(), threading.Event()

    async def stubborn() -> str:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            with pytest.raises(TaskCancelledError):
                await tasks.current().update_progress(0.9)
        finished.set()
        return "a result anyway"

    task_id = tasks.run_background_sync(stubborn())
    assert begun.wait(10)

    tasks.cancel(task_id)
    assert finished.wait(10)
    tasks.shutdown()

    task = get(store, task_id)
    assert (task.status, task.error, task.result, task.progress) == ("interrupted", "cancelled", None, 0.0)


def test_the_record_agrees_with_a_cancel_that_races_with_the_completion(store: TaskManager) -> None:
    for number in range(30):
        gate = Gate(number)
        task_id = gate.submit("function")
        gate.opened.set()

        cancelled = tasks.cancel(task_id)
        tasks.wait(task_id, 10)

        task = get(store, task_id)
        assert (task.status, task.result, task.error) == (
            ("interrupted", None, "cancelled") if cancelled else ("completed", number, None)
        )


def test_a_task_of_another_process_is_recorded_as_cancelled(store: TaskManager) -> None:
    task, _ = store.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m"))
    assert tasks.cancel(task.id)
    assert get(store, task.id).error == "cancelled"


# --- Waiting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_waiting_raises_when_the_store_is_replaced(tmp_path: Path, asynchronous: bool) -> None:
    # given a task of another process
    module_sdk.configure(url=f"sqlite:///{tmp_path / 'tasks.db'}")
    task, _ = module_sdk.facade.runtime.get_runtime().manager().create(module_sdk.Task.new(user_id=7, module="m"))
    replacing = threading.Timer(0.1, module_sdk.configure, kwargs={"url": "memory://"})
    replacing.start()

    with module_sdk.session(user={"id": 7}), pytest.raises(TaskBackendError, match="closed"):
        asyncio.run(tasks.await_task(task.id, 30)) if asynchronous else tasks.wait(task.id, 30)
    replacing.join()


def test_waiting_ends_at_its_timeout_or_when_the_task_ends(store: TaskManager) -> None:
    # given a task of this process, and one of another process
    gate = Gate("done")
    here = gate.submit("coroutine")
    elsewhere, _ = store.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m"))

    for task_id in (here, elsewhere.id):
        with pytest.raises(TimeoutError):
            tasks.wait(task_id, 0)
        with pytest.raises(TimeoutError):
            asyncio.run(tasks.await_task(task_id, 0.05))
    with pytest.raises(TaskNotFoundError):
        tasks.wait(UNKNOWN, 10)
    for bad in (-1, math.nan, "1", None, True):
        with pytest.raises(InvalidInputError, match="timeout_seconds"):
            tasks.wait(here, bad)  # type: ignore[arg-type]
    threading.Timer(0.05, lambda: store.update(elsewhere.id, status="interrupted")).start()
    assert tasks.wait(elsewhere.id, 10)["status"] == "interrupted"
    gate.opened.set()
    assert tasks.wait(here, math.inf)["result"] == tasks.wait(here, 10**400)["result"] == "done"
