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
from module_sdk.manager import TaskManager
from module_sdk.testing import USER
from tests.managers import FaultyManager
from tests.work import Gate, add, get, is_closed, until_status


async def hang() -> None:
    await asyncio.sleep(60)


def test_async_submissions_run_on_the_callers_loop_and_functions_on_threads(store: TaskManager) -> None:
    # given
    tasks.register("where")(lambda: threading.current_thread().name)

    async def where() -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), asyncio.get_running_loop() is loops[0]]

    loops: list[asyncio.AbstractEventLoop] = []

    async def submit() -> list[Any]:
        loops.append(asyncio.get_running_loop())
        ids = [await tasks.run_background(where()), await tasks.run_background("where")]
        return [(await tasks.await_task(task_id, 10))["result"] for task_id in ids]

    # then
    on_loop, on_thread = asyncio.run(submit())
    assert on_loop == [True, True]
    assert on_thread != threading.main_thread().name


def test_a_loop_that_ends_interrupts_what_runs_on_it(store: TaskManager) -> None:
    # given
    async def submit() -> str:
        task_id = await tasks.run_background(hang(), task_key="k")
        while get(store, task_id).status != "running":
            await asyncio.sleep(0.002)
        return task_id

    # when
    task_id = asyncio.run(submit())

    # then
    task = until_status(store, task_id, "interrupted")
    assert task.error == "stopped"
    assert asyncio.run(tasks.run_background(add(1, 2), task_key="k")) != task_id


def test_a_loop_that_ends_before_the_work_began_interrupts_it(store: TaskManager) -> None:
    # given
    coroutine = hang()
    task_id = asyncio.run(tasks.run_background(coroutine))

    # then
    until_status(store, task_id, "interrupted")
    assert is_closed(coroutine)


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
    task_id = asyncio.run(tasks.run_background(hang()))

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
        asyncio.run(submit())

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
    # given work that ended, and work that did not
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
