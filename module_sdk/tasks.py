"""Task state for module code: find work, start it, report on it (DESIGN.md, "Public API").

The three lookups never raise: what went wrong is the `.error` of an empty list. Everything else raises.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

from module_sdk import aio
from module_sdk.events import Subscription, subscribe
from module_sdk.failures import failures, lookup_failures
from module_sdk.rows import LookupResult, Row
from module_sdk.runner import confirmations, control, waiting
from module_sdk.runner.functions import register
from module_sdk.runner.run import CurrentTask, current
from module_sdk.runtime import CLOSE_SECONDS, get_runtime, shutdown
from module_sdk.task_id import TaskId
from module_sdk.text_rules import Identifier
from module_sdk.watched import close_coroutine, watched

__all__ = [
    "CurrentTask",
    "LookupResult",
    "Subscription",
    "TaskId",
    "acancel",
    "aget_tasks_by_key",
    "aget_tasks_by_key_prefix",
    "alist_user_tasks",
    "arespond_confirmation",
    "ashutdown",
    "await_task",
    "cancel",
    "current",
    "emit_progress",
    "emit_progress_sync",
    "get_tasks_by_key",
    "get_tasks_by_key_prefix",
    "list_user_tasks",
    "lookup_failures",
    "register",
    "request_confirmation",
    "request_confirmation_sync",
    "respond_confirmation",
    "run_background",
    "run_background_sync",
    "shutdown",
    "subscribe",
    "update_progress",
    "update_progress_sync",
    "wait",
]

# --- Lookups --------------------------------------------------------------------------------------------------------


def list_user_tasks(
    user_id: Identifier, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """That user's tasks in exactly that organization (`None`: of none), newest first; `[]` with `.error` on failure."""
    return soft("list_user_tasks", user_id, organization_id, limit)


def get_tasks_by_key(
    task_key: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """The tasks whose key is exactly this, newest first; `[]` with `.error` on failure."""
    return soft("get_tasks_by_key", task_key, organization_id, limit)


def get_tasks_by_key_prefix(
    prefix: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """The tasks whose key starts with this, newest first; `""` is every keyed task; `[]` with `.error` on failure."""
    return soft("get_tasks_by_key_prefix", prefix, organization_id, limit)


async def alist_user_tasks(
    user_id: Identifier, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """The async twin of `list_user_tasks`."""
    return await asoft("list_user_tasks", user_id, organization_id, limit)


async def aget_tasks_by_key(
    task_key: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """The async twin of `get_tasks_by_key`."""
    return await asoft("get_tasks_by_key", task_key, organization_id, limit)


async def aget_tasks_by_key_prefix(
    prefix: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """The async twin of `get_tasks_by_key_prefix`."""
    return await asoft("get_tasks_by_key_prefix", prefix, organization_id, limit)


def soft(operation: str, argument: Any, organization_id: Any, limit: int | None) -> LookupResult:
    return reported(operation, answer(operation, argument, organization_id, limit, time.monotonic()))


async def asoft(operation: str, argument: Any, organization_id: Any, limit: int | None) -> LookupResult:
    try:
        result = await aio.look_up_in_thread(answer, operation, argument, organization_id, limit)
    except Exception as error:  # as in `answer`
        result = LookupResult(error=error)
    return reported(operation, result)


def answer(operation: str, argument: Any, organization_id: Any, limit: int | None, started: float) -> LookupResult:
    """What the store says, or the failure: as a value, since no future can carry a `StopIteration`."""
    try:
        runtime = get_runtime()
        runtime.check()
        return runtime.lookups.look_up(operation, argument, organization_id, limit, started)
    except Exception as error:  # a page that is drawn must not break on a store
        return LookupResult(error=error)


def reported(operation: str, result: LookupResult) -> LookupResult:
    if result.error is not None:
        failures.record(operation, result.error)
    return result


# --- Running work ---------------------------------------------------------------------------------------------------


@watched
async def run_background(
    coro_or_name: Coroutine[Any, Any, Any] | str,
    label: str = "Background Task",
    *,
    task_key: str | None = None,
    **kwargs: Any,
) -> TaskId:
    """Record a task for the session's user, start it, and return its id at once.

    `coro_or_name` is a coroutine object, or the name of a registered function, which gets the `kwargs` as JSON returns
    them: a date arrives as text, a tuple as a list. If an active task of the organization holds `task_key`, nothing
    starts and its id is returned (DEDUP), with `.created` false. Raises `SessionRequiredError` without a session's user
    and `InvalidInputError` for an unknown name or bad arguments (both `ValueError`), `ConfigurationError` (a
    `RuntimeError`) with no manager, `TaskBackendError` when the store fails. A call that is never awaited is logged.
    """
    try:
        runtime = await aio.runtime_off_loop()
        runner = runtime.runner()
    except BaseException:
        close_coroutine(coro_or_name)
        raise
    return await runner.submit_async(coro_or_name, label, task_key, kwargs, runtime.call_seconds())


def run_background_sync(
    coro_or_name: Coroutine[Any, Any, Any] | str,
    label: str = "Background Task",
    *,
    task_key: str | None = None,
    **kwargs: Any,
) -> TaskId:
    """`run_background` for synchronous code; coroutines run on a loop of our own."""
    try:
        runner = get_runtime().runner()
    except BaseException:
        close_coroutine(coro_or_name)
        raise
    return runner.submit(coro_or_name, label, task_key, kwargs)


def update_progress_sync(task_id: str, progress: float, checkpoint: Any = None, label: str | None = None) -> None:
    """Store progress (clamped to 0..1), and the checkpoint and label where given; an unknown id is passed over.

    Works without a session for tasks of this process. Raises `TaskCancelledError` if the task was cancelled,
    `IllegalTransitionError` if it has ended otherwise, `InvalidInputError`, `SessionRequiredError`, `TaskBackendError`.
    """
    control.update_progress(task_id, progress, checkpoint, label)


def emit_progress_sync(
    task_id: str, progress: float | None = None, label: str | None = None, checkpoint: Any = None
) -> None:
    """Tell this process's subscribers of the task's organization, and store nothing."""
    control.emit_progress(task_id, progress, label, checkpoint)


def request_confirmation_sync(task_id: str, builder: Any) -> dict[str, Any]:
    """Pause a task of this process in `waiting_confirmation`, with what to show, until someone responds; the response.

    Raises `TaskNotFoundError` for an unknown id, `TaskCancelledError` if the task is cancelled meanwhile,
    `IllegalTransitionError` if it does not run, `CapabilityError` if it runs in another process.
    """
    return confirmations.await_confirmation(task_id, builder)


@watched
async def request_confirmation(task_id: str, builder: Any) -> dict[str, Any]:
    """The async form of `request_confirmation_sync`."""
    import asyncio  # noqa: PLC0415  # as in aio.py

    question = confirmations.Question(task_id)
    try:
        await aio.twin(question.ask)(builder)
        return await asyncio.wrap_future(question.response)
    except BaseException:
        question.give_up()
        raise


def respond_confirmation(task_id: str, response: dict[str, Any]) -> None:
    """Answer a task that waits for a confirmation; it goes on running. Raises like `request_confirmation_sync`."""
    confirmations.respond_confirmation(task_id, response)


def cancel(task_id: str) -> bool:
    """Record the task as `interrupted` with error `cancelled`, then stop its work as well as that can be done.

    True if this call moved it; false if it had ended or is unknown. Raises `SessionRequiredError`, `TaskBackendError`.
    """
    return control.cancel(task_id)


def wait(task_id: str, timeout_seconds: float) -> Row:
    """Return the task's view once it has ended; `math.inf` waits without end.

    Raises `TimeoutError`, `TaskNotFoundError`, `SessionRequiredError`, `InvalidInputError`, `TaskBackendError`.
    """
    return waiting.wait(task_id, timeout_seconds)


# `a` and `wait` would make a word that Python keeps for itself.
async def await_task(task_id: str, timeout_seconds: float) -> Row:
    """The async twin of `wait`."""
    return await waiting.await_end(task_id, timeout_seconds)


async def ashutdown(timeout_seconds: float = CLOSE_SECONDS) -> None:
    """The async twin of `shutdown`."""
    import asyncio  # noqa: PLC0415  # as in aio.py

    # Not on the twins' threads: the work that is waited for may need one to end.
    await asyncio.to_thread(shutdown, timeout_seconds)


update_progress = watched(aio.twin(update_progress_sync))
emit_progress = watched(aio.twin(emit_progress_sync))
arespond_confirmation = aio.twin(respond_confirmation)
acancel = aio.twin(cancel)
