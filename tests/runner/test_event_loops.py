"""Work on the host's own event loop, and what happens to it when that loop ends."""

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


async def runs_on(loops: list[asyncio.AbstractEventLoop]) -> bool:
    return asyncio.get_running_loop() in loops


async def submit_and_report_loops() -> list[Any]:
    """Return whether a coroutine and a named one ran on this loop, and whether a function ran on the main thread."""
    loops = [asyncio.get_running_loop()]
    tasks.register("loops.function")(lambda: threading.current_thread() is threading.main_thread())

    @tasks.register("loops.named")
    async def named() -> bool:
        return await runs_on(loops)

    ids = [await tasks.run_background(work) for work in (runs_on(loops), "loops.named", "loops.function")]
    return [(await tasks.await_task(task_id, 10))["result"] for task_id in ids]


async def in_a_lifespan() -> list[Any]:
    async with module_sdk.lifespan():
        return await submit_and_report_loops()


async def in_a_task_of_its_own() -> list[Any]:
    return await asyncio.create_task(submit_and_report_loops())


def test_work_runs_on_the_callers_loop_if_that_loop_outlives_the_call(store: TaskManager) -> None:
    assert run_for_ever(submit_and_report_loops()) == [True, True, False]
    assert run_for_ever(in_a_task_of_its_own()) == [True, True, False]
    assert asyncio.run(in_a_lifespan()) == [True, True, False]


def test_work_runs_on_our_own_loop_if_the_callers_loop_may_end_first(store: TaskManager) -> None:
    assert asyncio.run(submit_and_report_loops()) == [False, False, False]
    assert asyncio.run(in_a_task_of_its_own()) == [False, False, False]
    # Once the block of the lifespan has ended, the same loop is no longer used for work.
    with asyncio.Runner() as runner:
        assert runner.run(in_a_lifespan()) == [True, True, False]
        assert runner.run(submit_and_report_loops()) == [False, False, False]


@pytest.mark.parametrize("form", ["coroutine", "name"])
def test_work_outlives_a_loop_that_ends_with_the_call_that_made_it(store: TaskManager, form: str) -> None:
    gate = Gate("done")
    tasks.register("outliving.coroutine")(gate.coroutine)

    work = gate.coroutine() if form == "coroutine" else "outliving.coroutine"
    task_id = asyncio.run(tasks.run_background(work))
    gate.opened.set()

    assert tasks.wait(task_id, 10)["result"] == "done"


@pytest.mark.parametrize("cancels", [True, False])
def test_a_loop_that_ends_interrupts_the_work_on_it(
    store: TaskManager, caplog: pytest.LogCaptureFixture, cancels: bool
) -> None:
    async def submit() -> str:
        task_id = await tasks.run_background(hang(), task_key="k")
        while get(store, task_id).status != "running":
            await asyncio.sleep(0.002)
        return task_id

    # when the loop is closed, with its remaining tasks cancelled or not
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
    coroutine = hang()
    task_id = run_for_ever(tasks.run_background(coroutine), cancels=cancels)

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
    gate = Gate("done")
    tasks.register("outliving")(gate.function)

    task_id = asyncio.run(tasks.run_background("outliving"))
    gate.opened.set()

    assert tasks.wait(task_id, 10)["result"] == "done"


def test_an_interruption_is_recorded_even_if_every_function_thread_is_busy(store: TaskManager) -> None:
    # given one thread for functions, which is busy
    module_sdk.configure(manager=store, max_running_tasks=1)
    gate = Gate()
    running = gate.submit("function")

    task_id = run_for_ever(tasks.run_background(hang()))

    until_status(store, task_id, "interrupted")
    gate.opened.set()
    tasks.wait(running, 10)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_inside_work_ends_the_hosts_loop_and_fails_the_task(
    store: TaskManager, kind: type[BaseException]
) -> None:
    ids: list[str] = []

    async def leave() -> None:
        raise kind

    async def submit() -> None:
        ids.append(await tasks.run_background(leave()))
        await asyncio.sleep(30)

    with pytest.raises(kind):
        run_for_ever(submit())

    task = until_status(store, ids[0], "failed")
    assert task.error == f"{kind.__name__}: "


class Stalling:
    """A store whose `create` records the task and then waits for `release`."""

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
def test_a_submission_cancelled_while_it_is_recorded_leaves_no_active_task(loop_goes_on: bool) -> None:
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

    task = until_status(stalling.manager, stalling.only_task()["id"], "interrupted")
    assert task.error == "cancelled"
    assert is_closed(coroutine)


def test_nothing_pending_is_left_on_the_background_loop(store: TaskManager, caplog: pytest.LogCaptureFixture) -> None:
    # given ended work, running work, and no garbage of earlier tests
    gc.collect()
    caplog.clear()
    for number in range(20):
        tasks.wait(tasks.run_background_sync(add(1, number)), 10)
    until_status(store, tasks.run_background_sync(hang()), "running")

    tasks.shutdown(timeout_seconds=0)

    for thread in threading.enumerate():
        if thread.name == "module-sdk-loop":
            thread.join(10)
    # asyncio logs "Task was destroyed but it is pending" when such a task is collected.
    gc.collect()
    assert "pending" not in caplog.text


def test_each_host_loop_of_a_process_can_submit(store: TaskManager) -> None:
    results: list[int] = []

    def run_loop(number: int) -> None:
        async def submit() -> int:
            with module_sdk.session(user=USER):
                task_id = await tasks.run_background(add(number, 1))
                result: int = (await tasks.await_task(task_id, 10))["result"]
                return result

        results.append(asyncio.run(submit()))

    threads = [threading.Thread(target=run_loop, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == [1, 2, 3, 4, 5, 6]
