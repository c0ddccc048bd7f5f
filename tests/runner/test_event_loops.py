"""Work on the host's own event loop, and what becomes of it when that loop ends (DESIGN.md, "running work")."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.store.manager import TaskManager
from module_sdk.testing import USER
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, add, get, is_closed, run_for_ever, until_status


async def hang() -> None:
    await asyncio.sleep(60)


async def where(loops: list[asyncio.AbstractEventLoop]) -> bool:
    return asyncio.get_running_loop() in loops


async def submit_and_ask_where() -> list[Any]:
    """Whether a coroutine runs on the loop of its submission, by object and by name, and a function on its thread."""
    loops = [asyncio.get_running_loop()]
    tasks.register("where.function")(lambda: threading.current_thread() is threading.main_thread())

    @tasks.register("where.named")
    async def named() -> bool:
        return await where(loops)

    ids = [await tasks.run_background(work) for work in (where(loops), "where.named", "where.function")]
    return [(await tasks.await_task(task_id, 10))["result"] for task_id in ids]


async def in_a_lifespan() -> list[Any]:
    async with module_sdk.lifespan():
        return await submit_and_ask_where()


async def in_a_task_of_its_own() -> list[Any]:
    return await asyncio.create_task(submit_and_ask_where())


def test_work_runs_on_the_callers_loop_where_that_lives_on(store: TaskManager) -> None:
    assert run_for_ever(submit_and_ask_where()) == [True, True, False]
    assert run_for_ever(in_a_task_of_its_own()) == [True, True, False]
    assert asyncio.run(in_a_lifespan()) == [True, True, False]


def test_work_runs_on_our_own_loop_where_the_callers_may_end_before(store: TaskManager) -> None:
    assert asyncio.run(submit_and_ask_where()) == [False, False, False]
    assert asyncio.run(in_a_task_of_its_own()) == [False, False, False]
    # A lifespan is over when its block is, for the loop too.
    with asyncio.Runner() as runner:
        assert runner.run(in_a_lifespan()) == [True, True, False]
        assert runner.run(submit_and_ask_where()) == [False, False, False]


@pytest.mark.parametrize("form", ["coroutine", "name"])
def test_work_outlives_a_loop_that_ends_with_the_call_that_made_it(store: TaskManager, form: str) -> None:
    # given
    gate = Gate("done")
    tasks.register("outliving.coroutine")(gate.coroutine)

    # when
    work = gate.coroutine() if form == "coroutine" else "outliving.coroutine"
    task_id = asyncio.run(tasks.run_background(work))
    gate.opened.set()

    # then
    assert tasks.wait(task_id, 10)["result"] == "done"


@pytest.mark.parametrize("cancels", [True, False])
def test_a_loop_that_ends_interrupts_what_runs_on_it(
    store: TaskManager, caplog: pytest.LogCaptureFixture, cancels: bool
) -> None:
    # given
    async def submit() -> str:
        task_id = await tasks.run_background(hang(), task_key="k")
        while get(store, task_id).status != "running":
            await asyncio.sleep(0.002)
        return task_id

    # when it is closed, with or without what is left on it having been cancelled
    task_id = run_for_ever(submit(), cancels=cancels)
    task = until_status(store, task_id, "interrupted")
    gc.collect()

    # then the record and the log say what happened
    assert "the end of its event loop" in str(task.error) if cancels else "event loop" in str(task.error)
    assert str(task.error).startswith("stopped: ")
    assert f"task {task_id} was {task.error}" in caplog.text
    assert asyncio.run(tasks.run_background(add(1, 2), task_key="k")) != task_id


@pytest.mark.parametrize("cancels", [True, False])
def test_a_loop_that_ends_before_the_work_began_interrupts_it(store: TaskManager, cancels: bool) -> None:
    # given
    coroutine = hang()
    task_id = run_for_ever(tasks.run_background(coroutine), cancels=cancels)

    # then
    until_status(store, task_id, "interrupted")
    until_closed(coroutine)
    gc.collect()


def until_closed(coroutine: Coroutine[Any, Any, Any]) -> None:
    for _ in range(2_000):
        if is_closed(coroutine):
            return
        threading.Event().wait(0.005)
    raise AssertionError("the coroutine is still open")


def test_functions_outlive_the_loop_that_submitted_them(store: TaskManager) -> None:
    # given
    gate = Gate("done")
    tasks.register("outliving")(gate.function)

    # when
    task_id = asyncio.run(tasks.run_background("outliving"))
    gate.opened.set()

    # then
    assert tasks.wait(task_id, 10)["result"] == "done"


def test_ended_work_is_recorded_even_when_every_function_thread_is_busy(store: TaskManager) -> None:
    # given one thread for functions, which one holds
    module_sdk.configure(manager=store, max_running_tasks=1)
    gate = Gate()
    held = gate.submit("function")

    # when
    task_id = run_for_ever(tasks.run_background(hang()))

    # then
    until_status(store, task_id, "interrupted")
    gate.opened.set()
    tasks.wait(held, 10)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_inside_work_ends_the_hosts_loop_and_fails_the_task(
    store: TaskManager, kind: type[BaseException]
) -> None:
    # given
    ids: list[str] = []

    async def leave() -> None:
        raise kind

    async def submit() -> None:
        ids.append(await tasks.run_background(leave()))
        await asyncio.sleep(30)

    # when
    with pytest.raises(kind):
        run_for_ever(submit())

    # then
    task = until_status(store, ids[0], "failed")
    assert task.error == f"{kind.__name__}: "


class Stalling:
    """A store whose `create` waits until it is let through."""

    def __init__(self) -> None:
        self.manager = FaultyManager()
        self.asked, self.release = threading.Event(), threading.Event()
        self.manager.after_create = self.stall
        module_sdk.configure(manager=self.manager)

    def stall(self, record: Any) -> None:
        self.asked.set()
        assert self.release.wait(10)

    def only_task(self) -> Any:
        with module_sdk.session(all_organizations=True):
            rows = module_sdk.models.background_tasks.list()["rows"]
        assert len(rows) == 1
        return rows[0]


@pytest.mark.parametrize("loop_goes_on", [True, False])
def test_a_submission_cancelled_meanwhile_leaves_no_task_that_nobody_runs(loop_goes_on: bool) -> None:
    # given a submission that is being recorded
    stalling = Stalling()
    coroutine: Coroutine[Any, Any, Any] = hang()

    async def submit() -> None:
        with module_sdk.session(user=USER):
            submission = asyncio.ensure_future(tasks.run_background(coroutine, task_key="k"))
        await asyncio.to_thread(stalling.asked.wait, 10)
        if loop_goes_on:
            submission.cancel()
            stalling.release.set()
            with pytest.raises(asyncio.CancelledError):
                await submission

    # when it is cancelled, or its whole loop ends
    asyncio.run(submit())
    stalling.release.set()

    # then
    task = until_status(stalling.manager, stalling.only_task()["id"], "interrupted")
    assert task.error == "cancelled"
    assert is_closed(coroutine)


def test_nothing_pending_is_left_on_the_background_loop(store: TaskManager, caplog: pytest.LogCaptureFixture) -> None:
    # given work that ended, and work that did not, and nothing left of earlier tests
    gc.collect()
    caplog.clear()
    for number in range(20):
        tasks.wait(tasks.run_background_sync(add(1, number)), 10)
    until_status(store, tasks.run_background_sync(hang()), "running")

    # when
    tasks.shutdown(timeout_seconds=0)

    # then
    for thread in threading.enumerate():
        if thread.name == "module-sdk-loop":
            thread.join(10)
    # A task that is destroyed while pending says so when it is collected.
    gc.collect()
    assert "pending" not in caplog.text


def test_each_host_loop_of_a_process_can_submit(store: TaskManager) -> None:
    # given
    results: list[int] = []

    def run_loop(number: int) -> None:
        async def submit() -> int:
            with module_sdk.session(user=USER):
                task_id = await tasks.run_background(add(number, 1))
                result: int = (await tasks.await_task(task_id, 10))["result"]
                return result

        results.append(asyncio.run(submit()))

    # when
    threads = [threading.Thread(target=run_loop, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then
    assert sorted(results) == [1, 2, 3, 4, 5, 6]
