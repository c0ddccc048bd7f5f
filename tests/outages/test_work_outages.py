"""Work that runs while the store is away, and is recorded when the store is back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import Change, TaskBackendError, TaskBackendUnavailableError
from module_sdk.errors import TaskCancelledError
from module_sdk.runner.executor import executor_of
from module_sdk.testing import USER
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, add, get, until_status

each_form = pytest.mark.parametrize("form", ["coroutine", "function"])


@pytest.fixture
def faulty() -> Iterator[FaultyManager]:
    """Yield a store that can be made to fail, with user 7 of organization 3 bound."""
    manager = FaultyManager()
    module_sdk.configure(manager=manager)
    with module_sdk.session(user=USER):
        yield manager
    module_sdk.reset()


class Outage:
    """A hook that raises `error` for the first `times` changes to one status."""

    def __init__(self, status: str, times: int, error: type[TaskBackendError] = TaskBackendUnavailableError) -> None:
        self.status = status
        self.left = times
        self.error = error
        self.seen = threading.Event()

    def __call__(self, change: Change) -> None:
        if change.fields.get("status") == self.status and self.left:
            self.left -= 1
            self.seen.set()
            raise self.error("the store is away")


@each_form
@pytest.mark.parametrize("hook", ["before_update", "after_update"])
@pytest.mark.parametrize("status", ["running", "completed"])
def test_a_start_and_an_end_survive_an_outage(faulty: FaultyManager, status: str, hook: str, form: str) -> None:
    # given a store that fails this change three times, or makes it and loses the reply
    outage = Outage(status, 3)
    setattr(faulty, hook, outage)
    gate = Gate("done")
    gate.opened.set()

    view = tasks.wait(gate.submit(form, task_key="k"), 20)

    assert outage.seen.is_set()
    assert (view["status"], view["result"], view["error"]) == ("completed", "done", None)


@each_form
def test_the_end_of_failed_work_is_also_retried(faulty: FaultyManager, form: str) -> None:
    faulty.before_update = Outage("failed", 2)

    async def coroutine() -> None:
        raise ValueError("bad")

    @tasks.register("failing")
    def function() -> None:
        raise ValueError("bad")

    view = tasks.wait(tasks.run_background_sync(coroutine() if form == "coroutine" else "failing"), 20)

    assert (view["status"], view["error"]) == ("failed", "ValueError: bad")


def test_ends_during_an_outage_are_all_recorded(faulty: FaultyManager) -> None:
    # given twenty tasks that end while the store is away
    away = threading.Event()
    gates = [Gate(number) for number in range(20)]

    def fail(change: Change) -> None:
        if away.is_set():
            raise TaskBackendUnavailableError("the store is away")

    ids = [gate.submit("coroutine") for gate in gates]
    faulty.before_update = fail
    away.set()
    for gate in gates:
        gate.opened.set()

    away.clear()

    assert [tasks.wait(task_id, 20)["result"] for task_id in ids] == list(range(20))


@each_form
def test_an_end_that_the_store_refuses_for_a_while_is_retried(faulty: FaultyManager, form: str) -> None:
    # given a store that answers but cannot write, for example because its disk is full
    refusal = Outage("completed", 3, TaskBackendError)
    faulty.before_update = refusal
    gate = Gate(None)
    gate.opened.set()

    view = tasks.wait(gate.submit(form, task_key="k"), 20)

    assert refusal.seen.is_set()
    assert (view["status"], view["error"]) == ("completed", None)


@each_form
def test_a_result_that_the_store_refuses_fails_the_task_with_the_reason(faulty: FaultyManager, form: str) -> None:
    faulty.before_update = Outage("completed", 1_000, TaskBackendError)
    gate = Gate("too much for this store")
    gate.opened.set()

    view = tasks.wait(gate.submit(form, task_key="k"), 20)

    assert (view["status"], view["result"]) == ("failed", None)
    assert view["error"] == "TaskBackendError: the store is away"


def test_an_end_that_the_store_always_refuses_does_not_block_other_ends(faulty: FaultyManager) -> None:
    # given a store that refuses every failure and the first two completions
    outages = [Outage("failed", 1_000_000, TaskBackendError), Outage("completed", 2, TaskBackendError)]

    def refuse(change: Change) -> None:
        for outage in outages:
            outage(change)

    faulty.before_update = refuse

    async def fail() -> None:
        raise ValueError("bad")

    refused = tasks.run_background_sync(fail())
    assert outages[0].seen.wait(10)
    completed = [tasks.run_background_sync(nothing()) for _ in range(2)]

    assert [tasks.wait(task_id, 20)["status"] for task_id in completed] == ["completed"] * 2
    assert get(faulty, refused).status == "running"
    tasks.shutdown(timeout_seconds=0)
    assert get(faulty, refused).error == "shutdown"


async def nothing() -> None:
    pass


@each_form
def test_work_that_cannot_be_recorded_as_running_in_time_does_not_run(
    faulty: FaultyManager, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that stays away for longer than the start of work is retried
    monkeypatch.setattr("module_sdk.runner.recorder.BEGIN_SECONDS", 0.2)
    faulty.before_update = Outage("running", 1_000)
    gate = Gate()
    tasks.register("unbegun")(gate.function)
    coroutine = gate.coroutine()

    task_id = tasks.run_background_sync(coroutine if form == "coroutine" else "unbegun")

    view = tasks.wait(task_id, 20)
    assert (view["status"], view["error"]) == ("failed", "TaskBackendUnavailableError: the store is away")
    assert not gate.begun.is_set()
    coroutine.close()


@each_form
def test_a_store_that_raises_an_unexpected_error_neither_hangs_nor_leaks_the_work(
    faulty: FaultyManager, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an injected manager that raises its own errors
    def update(*_: Any, **fields: Any) -> None:
        raise OSError("not one of ours")

    monkeypatch.setattr(faulty, "update", update)
    gate = Gate()
    tasks.register("unexpected")(gate.function)
    coroutine = gate.coroutine()

    tasks.run_background_sync(coroutine if form == "coroutine" else "unexpected")

    # then a shutdown has nothing to wait for
    runner = executor_of(module_sdk.facade.runtime.get_runtime()).runner()
    for _ in range(2_000):
        if not runner.runs:
            break
        threading.Event().wait(0.005)
    assert runner.runs == {}
    assert not gate.begun.is_set()
    coroutine.close()


def test_a_cancel_whose_reply_was_lost_stops_the_work_when_it_is_repeated(faulty: FaultyManager) -> None:
    stopped = threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()

    task_id = tasks.run_background_sync(work())
    until_status(faulty, task_id, "running")
    faulty.after_update = Outage("interrupted", 1)
    with pytest.raises(TaskBackendUnavailableError):
        tasks.cancel(task_id)

    cancelled = tasks.cancel(task_id)

    assert not cancelled
    assert stopped.wait(10)
    assert get(faulty, task_id).error == "cancelled"


def test_progress_that_cannot_be_stored_raises_in_the_work(faulty: FaultyManager) -> None:
    def away(change: Change) -> None:
        if "progress" in change.fields and "status" not in change.fields:
            raise TaskBackendUnavailableError("the store is away")

    faulty.before_update = away

    async def work() -> str:
        try:
            await tasks.current().update_progress(0.5)
        except TaskBackendUnavailableError:
            return "raised"
        return "not raised"

    assert tasks.wait(tasks.run_background_sync(work()), 10)["result"] == "raised"


def test_shutting_down_while_the_store_is_away_ends_in_time(
    faulty: FaultyManager, caplog: pytest.LogCaptureFixture
) -> None:
    # given running work of both forms, and a store that goes away for good
    gates = [Gate(), Gate()]
    ids = [gate.submit(form) for gate, form in zip(gates, ("coroutine", "function"), strict=True)]

    def away(change: Change) -> None:
        raise TaskBackendUnavailableError("the store is away")

    faulty.before_update = away

    tasks.shutdown(timeout_seconds=0.05)

    # then the tasks are still recorded as running, and the log reports it
    assert [get(faulty, task_id).status for task_id in ids] == ["running", "running"]
    assert "could not be recorded as interrupted" in caplog.text
    for gate in gates:
        gate.opened.set()


def test_an_outage_during_a_submission_leaves_nothing_running(faulty: FaultyManager) -> None:
    # given a store that loses the reply to a creation
    def lost(record: Any) -> None:
        faulty.after_create = lambda record: None
        raise TaskBackendUnavailableError("the store is away")

    faulty.after_create = lost
    with pytest.raises(TaskBackendUnavailableError):
        tasks.run_background_sync(add(1, 2))

    # then other work can run
    assert tasks.wait(tasks.run_background_sync(add(1, 2)), 10)["result"] == 3


def test_cancelled_work_that_reports_progress_gets_an_error(faulty: FaultyManager) -> None:
    gate = Gate()
    raised: list[Exception] = []

    @tasks.register("reporting")
    def work() -> None:
        gate.function()
        try:
            tasks.current().update_progress(0.5)
        except TaskCancelledError as error:
            raised.append(error)
            raise

    task_id = tasks.run_background_sync("reporting")
    assert gate.begun.wait(10)

    assert tasks.cancel(task_id)
    gate.opened.set()
    tasks.shutdown()

    assert len(raised) == 1
    assert get(faulty, task_id).error == "cancelled"
