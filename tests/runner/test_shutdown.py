"""Shutting down: work may end within the timeout, and the rest is recorded as interrupted."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.domain.record import TaskRecord
from module_sdk.errors import InvalidInputError, TaskBackendError, TaskCancelledError
from module_sdk.runner.executor import executor_of
from module_sdk.store.manager import TaskManager
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, Stoppable, add, get, is_closed, until_status


def test_shutting_down_lets_work_end_and_interrupts_the_rest(store: TaskManager) -> None:
    quick, slow = Gate("done"), {"coroutine": Stoppable(), "function": Stoppable()}
    ids = {form: work.submit(form) for form, work in slow.items()}
    ended = quick.submit("coroutine")
    threading.Timer(0.05, quick.opened.set).start()

    tasks.shutdown(timeout_seconds=0.3)

    assert get(store, ended).result == "done"
    for form, work in slow.items():
        task = get(store, ids[form])
        assert (task.status, task.error) == ("interrupted", "shutdown")
        assert work.stopped.wait(10)


def test_shutting_down_does_not_wait_when_nothing_runs(store: TaskManager) -> None:
    tasks.wait(tasks.run_background_sync(add(1, 2)), 10)

    began = time.monotonic()
    for _ in range(3):
        tasks.shutdown(timeout_seconds=math.inf)
    for bad in (-1, math.nan, "1", None, True):
        with pytest.raises(InvalidInputError, match="timeout_seconds"):
            tasks.shutdown(timeout_seconds=bad)  # type: ignore[arg-type]

    # then it has not waited, and later work gets a new runner
    assert time.monotonic() - began < 5
    assert tasks.wait(tasks.run_background_sync(add(1, 2)), 10)["result"] == 3
    asyncio.run(tasks.ashutdown())


def test_pending_work_is_interrupted_and_never_runs(store: TaskManager) -> None:
    module_sdk.configure(manager=store, max_running_tasks=1)
    gate, waiting = Gate(), Gate()
    gate.submit("function")
    tasks.register("waiting")(waiting.function)
    task_id = tasks.run_background_sync("waiting")

    tasks.shutdown(timeout_seconds=0)
    gate.opened.set()

    assert get(store, task_id).error == "shutdown"
    for thread in threading.enumerate():
        if thread.name.startswith("module-sdk") and thread is not threading.current_thread():
            thread.join(0.2)
    assert not waiting.begun.is_set()


def test_work_submitted_while_shutting_down_is_refused_and_closed(store: TaskManager) -> None:
    # given a shutdown that waits for work
    gate = Gate()
    gate.submit("coroutine")
    runner = executor_of(module_sdk.facade.runtime.get_runtime()).runner()
    ending = threading.Thread(target=tasks.shutdown)
    ending.start()
    while not runner.is_stopping:
        time.sleep(0.001)

    coroutine = add(1, 2)
    with pytest.raises(RuntimeError, match="shutting down"):
        runner.submit(coroutine, "late", None, {})

    assert is_closed(coroutine)
    assert store.count(filters={"label": "late"}) == 0
    gate.opened.set()
    ending.join()


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_a_submission_that_a_shutdown_overtakes_leaves_no_task_active(form: str) -> None:
    # given a store that is slow to record a task and that the next configuration closes
    manager = FaultyManager()
    module_sdk.configure(manager=manager)
    runtime = module_sdk.facade.runtime.get_runtime()
    runtime.owns_manager = True
    runner = executor_of(runtime).runner()
    recorded, release = threading.Event(), threading.Event()

    def record_slowly(record: TaskRecord) -> None:
        recorded.set()
        assert release.wait(10)

    manager.after_create = record_slowly
    gate = Gate()
    tasks.register("overtaken")(gate.function)
    coroutine = gate.coroutine()
    refused: list[Exception] = []

    def submit() -> None:
        try:
            with module_sdk.session(user={"id": 7}):
                tasks.run_background_sync(coroutine if form == "coroutine" else "overtaken")
        except RuntimeError as error:
            refused.append(error)

    submitter = threading.Thread(target=submit)
    submitter.start()
    assert recorded.wait(10)

    ending = threading.Thread(target=module_sdk.configure, kwargs={"url": None})
    ending.start()
    while not runner.is_stopping:
        time.sleep(0.001)
    release.set()
    submitter.join()
    ending.join()

    # then the submission raises, the work never ran, and the task is recorded as interrupted
    assert [str(error) for error in refused] == ["background work is shutting down"]
    assert not gate.begun.is_set()
    assert [(record.status, record.error) for record in manager.tables.records.values()] == [
        ("interrupted", "shutdown")
    ]
    coroutine.close()


def test_a_task_may_call_shutdown(store: TaskManager) -> None:
    work = Stoppable()
    other = work.submit("coroutine")

    @tasks.register("shutting.down")
    def function() -> None:
        tasks.shutdown(timeout_seconds=0.05)

    task_id = tasks.run_background_sync("shutting.down")

    until_status(store, other, "interrupted")
    until_status(store, task_id, "interrupted")
    assert work.stopped.wait(10)


def test_configuring_again_interrupts_running_work(store: TaskManager) -> None:
    work = Stoppable()
    task_id = work.submit("coroutine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("module_sdk.facade.runtime.CLOSE_SECONDS", 0.05)
        module_sdk.configure(url="memory://")

    assert get(store, task_id).error == "shutdown"
    assert work.stopped.wait(10)


def report(task_id: str) -> None:
    tasks.update_progress_sync(task_id, 0.5)


def report_from_another_thread(task_id: str) -> None:
    """Report progress on a plain thread, which has no session, and raise the error that it got."""
    raised: list[Exception] = []

    def report_and_keep_the_error() -> None:
        try:
            report(task_id)
        except TaskCancelledError as error:
            raised.append(error)

    thread = threading.Thread(target=report_and_keep_the_error)
    thread.start()
    thread.join()
    raise raised[0]


def ask(task_id: str) -> None:
    tasks.request_confirmation_sync(task_id, {"sure": True})


def use_a_closed_store(task_id: str) -> None:
    manager = module_sdk.open_manager("memory://")
    manager.close()
    manager.get(task_id)


@pytest.mark.parametrize("action", [report, report_from_another_thread, ask, use_a_closed_store])
def test_work_that_continues_after_its_store_is_closed_gets_an_error_and_logs_nothing(
    action: Callable[[str], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given work that does not check whether it was stopped
    monkeypatch.setattr("module_sdk.facade.runtime.CLOSE_SECONDS", 0.05)
    module_sdk.configure(url=f"sqlite:///{tmp_path / 'tasks.db'}")
    gate, ended = Gate(), threading.Event()
    raised: list[Exception] = []

    @tasks.register("going.on")
    def work() -> None:
        gate.function()
        try:
            action(tasks.current().id)
        except Exception as error:
            raised.append(error)
            raise
        finally:
            ended.set()

    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        tasks.run_background_sync("going.on")
    assert gate.begun.wait(10)
    worker = next(thread for thread in threading.enumerate() if thread.name == "module-sdk-async")

    module_sdk.configure(url=None)
    gate.opened.set()
    worker.join(10)

    assert ended.is_set()
    assert [type(error) for error in raised] == [
        TaskBackendError if action is use_a_closed_store else TaskCancelledError
    ]
    assert caplog.text == ""
