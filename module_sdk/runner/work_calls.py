"""The calls of `module_sdk.tasks` that run work, report its progress, ask for confirmations and end it.

The async version of a call runs the code of the synchronous one, on another thread if that code may block.
"""

from __future__ import annotations

from typing import overload

from module_sdk.domain.shapes import AnyTaskId, Json, TaskView, Work
from module_sdk.domain.task_id import TaskId
from module_sdk.facade import async_calls
from module_sdk.facade.awaited import close_coroutine, watched
from module_sdk.facade.runtime import CLOSE_SECONDS, get_runtime, shutdown
from module_sdk.runner import confirmations, task_actions, waiter
from module_sdk.runner.executor import executor_of

__all__ = [
    "acancel",
    "aemit_progress",
    "arequest_confirmation",
    "arespond_confirmation",
    "arun_background",
    "ashutdown",
    "aupdate_progress",
    "await_task",
    "cancel",
    "emit_progress",
    "emit_progress_sync",
    "request_confirmation",
    "request_confirmation_sync",
    "respond_confirmation",
    "run_background",
    "run_background_sync",
    "update_progress",
    "update_progress_sync",
    "wait",
    "wait_task",
]

# --- Starting -------------------------------------------------------------------------------------------------------


@overload
async def run_background(
    coro_or_name: Work, label: str = "Background Task", *, task_key: str | None = None
) -> TaskId: ...
@overload
async def run_background(
    coro_or_name: str, label: str = "Background Task", *, task_key: str | None = None, **kwargs: object
) -> TaskId: ...
@watched
async def run_background(
    coro_or_name: Work | str, label: str = "Background Task", *, task_key: str | None = None, **kwargs: object
) -> TaskId:
    """Record a task for the session's user, start its work, and return its id at once.

    A call that is never awaited is logged as an error.

    Example:
        task_id = await tasks.run_background(import_contacts(42), "Import contacts", task_key="contacts.import.42")

    Args:
        coro_or_name: A coroutine object, or the name of a function that `register` has named.
        label: The text that people read; at most 1,024 bytes of UTF-8.
        task_key: The key of the work. An organization has at most one active task per key. `""` means no key.
        **kwargs: The arguments of the registered function. It receives them as JSON returns them: a date as text, a
            tuple as a list. They are not allowed with a coroutine object.

    Returns:
        The task's id, a `str` with the attribute `.created`. If an active task has the key, nothing starts, this is the
        id of that task, and `.created` is false.

    Raises:
        SessionRequiredError: No session with a user is bound.
        InvalidInputError: The name is unknown, or no task can have one of the arguments (also as `PayloadError`).
        ConfigurationError: There is no manager, or the process is shutting down.
        TaskBackendError: The store failed.
    """
    try:
        runtime = await async_calls.runtime_off_loop()
        runner = executor_of(runtime).runner()
    except BaseException:
        close_coroutine(coro_or_name)
        raise
    return await runner.submit_async(coro_or_name, label, task_key, kwargs, runtime.call_seconds())


@overload
def run_background_sync(
    coro_or_name: Work, label: str = "Background Task", *, task_key: str | None = None
) -> TaskId: ...
@overload
def run_background_sync(
    coro_or_name: str, label: str = "Background Task", *, task_key: str | None = None, **kwargs: object
) -> TaskId: ...
def run_background_sync(
    coro_or_name: Work | str, label: str = "Background Task", *, task_key: str | None = None, **kwargs: object
) -> TaskId:
    """Do what `run_background` does, for synchronous code. A coroutine runs on an event loop of module-sdk.

    Example:
        task_id = tasks.run_background_sync("reports.monthly", "Monthly report", month="2026-01")

    Args, returns and raises are those of `run_background`.
    """
    try:
        runner = executor_of(get_runtime()).runner()
    except BaseException:
        close_coroutine(coro_or_name)
        raise
    return runner.submit(coro_or_name, label, task_key, kwargs)


# --- Progress -------------------------------------------------------------------------------------------------------


@watched
async def update_progress(
    task_id: AnyTaskId, progress: float, checkpoint: object = None, label: str | None = None
) -> None:
    """Store the progress of a task. An unknown id is ignored. A call that is never awaited is logged as an error.

    The call works without a session for the tasks that this process runs.

    Example:
        await tasks.update_progress(task_id, 3 / 8, checkpoint={"row": 300})

    Args:
        task_id: The task's id.
        progress: A fraction from 0 to 1. A number below 0 is stored as 0, and one above 1 as 1. It may decrease.
        checkpoint: JSON to store with it. `None` does not change the stored one.
        label: A new label. `None` does not change the stored one.

    Raises:
        TaskCancelledError: The task was cancelled, so its work should stop.
        IllegalTransitionError: The task has ended in another way.
        InvalidInputError: The progress is NaN, infinite or not a number, the label is too long, or the checkpoint is
            not JSON.
        SessionRequiredError: No session is bound, and this process does not run the task.
        ConfigurationError: There is no manager.
        TaskBackendError: The store failed.
    """
    await async_calls.in_thread(update_progress_sync, task_id, progress, checkpoint, label)


def update_progress_sync(
    task_id: AnyTaskId, progress: float, checkpoint: object = None, label: str | None = None
) -> None:
    """Do what `update_progress` does, for synchronous code. Args, returns and raises are the same."""
    task_actions.update_progress(task_id, progress, checkpoint, label)


@watched
async def emit_progress(
    task_id: AnyTaskId, progress: float | None = None, label: str | None = None, checkpoint: object = None
) -> None:
    """Send a `ProgressEvent` to the subscribers in this process, and store nothing. An unknown id is ignored.

    Args:
        task_id: The task's id.
        progress: A fraction from 0 to 1.
        label: Text to show.
        checkpoint: Any JSON.

    Raises:
        InvalidInputError: No task can have one of the arguments.
        SessionRequiredError: No session is bound, and this process does not run the task.
        ConfigurationError: There is no manager.
        TaskBackendError: The store failed. It is read for tasks of other processes.
    """
    await async_calls.in_thread(emit_progress_sync, task_id, progress, label, checkpoint)


def emit_progress_sync(
    task_id: AnyTaskId, progress: float | None = None, label: str | None = None, checkpoint: object = None
) -> None:
    """Do what `emit_progress` does, for synchronous code. Args, returns and raises are the same."""
    task_actions.emit_progress(task_id, progress, label, checkpoint)


# --- Confirmations --------------------------------------------------------------------------------------------------


@watched
async def request_confirmation(task_id: AnyTaskId, builder: object) -> dict[str, Json]:
    """Pause a task of this process in `waiting_confirmation` until someone responds, and return the response.

    Example:
        answer = await tasks.request_confirmation(tasks.current().id, {"question": "Replace 40 contacts?"})
        if answer["replace"]:
            ...

    Args:
        task_id: The id of a task that this process runs.
        builder: The question to show: a `ui.Builder`, another object with `to_dict()`, or any JSON except `None`.

    Returns:
        The `dict` that was passed to `respond_confirmation`, as JSON returns it.

    Raises:
        TaskNotFoundError: There is no such task.
        TaskCancelledError: The task was cancelled before or during the call.
        IllegalTransitionError: The task is not running, or it waits for another confirmation.
        CapabilityError: The task runs in another process.
        PayloadError: The question is not JSON.
        SessionRequiredError: No session is bound, and this process does not run the task.
        ConfigurationError: There is no manager.
        TaskBackendError: The store failed.
    """
    return await confirmations.await_response(task_id, builder)


def request_confirmation_sync(task_id: AnyTaskId, builder: object) -> dict[str, Json]:
    """Do what `request_confirmation` does, for synchronous code. Args, returns and raises are the same."""
    return confirmations.wait_for_response(task_id, builder)


def respond_confirmation(task_id: AnyTaskId, response: dict[str, Json]) -> None:
    """Answer a task that waits for a confirmation. It continues to run.

    Args:
        task_id: The id of a task that this process runs.
        response: The `dict` of JSON that `request_confirmation` will return.

    Raises:
        TaskNotFoundError: There is no such task in the session's organization.
        IllegalTransitionError: The task does not wait for a confirmation, or it has been answered already.
        CapabilityError: The task runs in another process.
        InvalidInputError: The response is not a `dict`, or not JSON (`PayloadError`).
        SessionRequiredError: No session is bound.
        ConfigurationError: There is no manager.
        TaskBackendError: The store failed.
    """
    confirmations.respond_confirmation(task_id, response)


async def arespond_confirmation(task_id: AnyTaskId, response: dict[str, Json]) -> None:
    """Do what `respond_confirmation` does, without blocking the event loop. Args and raises are the same."""
    await async_calls.in_thread(respond_confirmation, task_id, response)


# --- Ending and waiting ---------------------------------------------------------------------------------------------


def cancel(task_id: AnyTaskId) -> bool:
    """Record a task as `interrupted` with the error `cancelled`, then stop its work.

    A coroutine is cancelled. A function must check `current().cancelled` or report its progress, which then raises.

    Args:
        task_id: The task's id.

    Returns:
        Whether this call ended the task. False if it had ended before, or if the session's organization has no such
        task.

    Raises:
        SessionRequiredError: No session is bound.
        ConfigurationError: There is no manager.
        TaskBackendError: The store failed.
    """
    return task_actions.cancel(task_id)


async def acancel(task_id: AnyTaskId) -> bool:
    """Do what `cancel` does, without blocking the event loop. Args, returns and raises are the same."""
    return await async_calls.in_thread(cancel, task_id)


def wait_task(task_id: AnyTaskId, timeout_seconds: float) -> TaskView:
    """Wait in this thread until a task has ended.

    Example:
        view = tasks.wait_task(task_id, timeout_seconds=30)
        if view["status"] == "completed":
            print(view["result"])

    Args:
        task_id: The task's id.
        timeout_seconds: How long to wait. 0 reads the task once; `math.inf` waits without limit.

    Returns:
        The task as `models.background_tasks.view` returns it.

    Raises:
        TimeoutError: The task is still active.
        TaskNotFoundError: There is no such task in the session's organization.
        InvalidInputError: `timeout_seconds` is negative or not a number.
        SessionRequiredError: No session is bound.
        ConfigurationError: There is no manager.
        TaskBackendError: The store failed.
    """
    return waiter.wait(task_id, timeout_seconds)


async def await_task(task_id: AnyTaskId, timeout_seconds: float) -> TaskView:
    """Do what `wait_task` does, without blocking the event loop. Args, returns and raises are the same."""
    return await waiter.await_end(task_id, timeout_seconds)


async def ashutdown(timeout_seconds: float = CLOSE_SECONDS) -> None:
    """Do what `shutdown` does, without blocking the event loop. Args, returns and raises are the same."""
    import asyncio  # noqa: PLC0415  # as in async_calls.py

    # Not on a thread of other async calls, because the work that this waits for may need one to record its end.
    await asyncio.to_thread(shutdown, timeout_seconds)


# --- Other names of the same calls ----------------------------------------------------------------------------------

# The earlier name of `wait_task`. Its async version cannot be called `await`, which is a keyword of Python.
wait = wait_task
# Every call that waits for the store has an async version whose name begins with `a`.
arun_background = run_background
aupdate_progress = update_progress
aemit_progress = emit_progress
arequest_confirmation = request_confirmation
