"""The types of the calls that run work, report its progress, ask for confirmations, end it and wait for it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_type

import module_sdk
from module_sdk import TaskView, tasks, ui


async def work(count: int) -> dict[str, int]:
    return {"count": count}


@tasks.register("typing.add")
def add(one: int, other: int) -> int:
    return one + other


@tasks.register("typing.later")
async def later(one: int) -> int:
    return one


def registered_functions_keep_their_types() -> None:
    assert_type(add(1, 2), int)
    awaitable: Coroutine[Any, Any, int] = later(1)
    awaitable.close()


async def starting() -> None:
    task_id = await tasks.run_background(work(3), "Import", task_key="contacts.import")
    assert_type(task_id, tasks.TaskId)
    assert_type(task_id.created, bool)
    assert_type(await tasks.run_background("typing.add", "Sum", one=1, other=2), tasks.TaskId)
    assert_type(await tasks.arun_background("typing.add", one=1, other=2), tasks.TaskId)
    assert_type(tasks.run_background_sync(work(3)), tasks.TaskId)
    assert_type(tasks.run_background_sync("typing.add", task_key=None, one=1), tasks.TaskId)


async def reporting(task_id: str) -> None:
    awaitable: Coroutine[Any, Any, None] = tasks.update_progress(task_id, 0.5)
    await awaitable
    await tasks.update_progress(task_id, 1, {"row": 3}, "Importing")
    await tasks.aupdate_progress(uuid.UUID(task_id), progress=0.5, checkpoint=[1], label=None)
    tasks.update_progress_sync(task_id, 0.5, checkpoint=math)
    await tasks.emit_progress(task_id)
    await tasks.aemit_progress(task_id, 0.5, label="half")
    tasks.emit_progress_sync(task_id, checkpoint="any JSON")


async def confirming(task_id: str) -> None:
    page = ui.Builder().add(ui.Text("Keep them?"))
    assert_type(await tasks.request_confirmation(task_id, page), dict[str, Any])
    assert_type(await tasks.arequest_confirmation(task_id, {"question": 1}), dict[str, Any])
    assert_type(tasks.request_confirmation_sync(task_id, page), dict[str, Any])
    answer = {"keep": True}
    tasks.respond_confirmation(task_id, answer)
    await tasks.arespond_confirmation(task_id, answer)


async def ending(task_id: str) -> None:
    assert_type(tasks.cancel(task_id), bool)
    assert_type(await tasks.acancel(uuid.UUID(task_id)), bool)
    tasks.shutdown(timeout_seconds=1)
    await tasks.ashutdown()
    module_sdk.shutdown(0)
    await module_sdk.ashutdown(0)


async def waiting(task_id: str) -> None:
    view = tasks.wait_task(task_id, 5)
    assert_type(view, TaskView)
    assert_type(tasks.wait(task_id, timeout_seconds=5), TaskView)
    assert_type(await tasks.await_task(task_id, math.inf), TaskView)
    assert_type(view["label"], str)
    assert_type(view["error"], str | None)
    assert_type(view["started_at"], str | None)
    assert_type(view["finished_at"], str | None)
    assert_type(view["result"], Any)
    assert_type(view["result"]["rows"][3], Any)


def inside() -> None:
    task = tasks.current()
    assert_type(task, tasks.CurrentTask)
    assert_type(task.id, str)
    assert_type(task.cancelled, bool)
    assert_type(task.update_progress(0.5, checkpoint={"a": 1}), Awaitable[None])


def functions_that_take_either(start: Callable[..., Coroutine[Any, Any, tasks.TaskId]]) -> None: ...


functions_that_take_either(tasks.run_background)


async def refused(task_id: str) -> None:
    tasks.run_background(work(1))  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    tasks.update_progress(task_id, 1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    tasks.emit_progress(task_id)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    tasks.acancel(task_id)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await tasks.run_background(work)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await tasks.run_background(add)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await tasks.run_background(work(1), count=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    tasks.run_background_sync(work(1), count=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    tasks.run_background_sync("typing.add", task_key=7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await tasks.update_progress(task_id)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await tasks.update_progress(task_id, "half")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await tasks.aupdate_progress(7, 0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await tasks.cancel(task_id)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    tasks.respond_confirmation(task_id, True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tasks.wait_task(task_id)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tasks.wait_task(task_id, 1)["results"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    tasks.register(add)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tasks.register("typing.seven")(7)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
