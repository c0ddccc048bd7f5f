"""The submission of work: from the arguments of `run_background` to a recorded task and its work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from module_sdk.domain.payloads import decode_payload, encode_payload
from module_sdk.domain.task import Task
from module_sdk.domain.task_id import TaskId
from module_sdk.domain.timestamps import system_clock
from module_sdk.errors import InvalidInputError, SessionRequiredError
from module_sdk.facade.announced_writes import create_task, maximum_payload_bytes
from module_sdk.facade.awaited import close_coroutine
from module_sdk.facade.sessions import current_session
from module_sdk.runner.functions import registered
from module_sdk.runner.run import Run
from module_sdk.store.manager import TaskManager

Work = Coroutine[Any, Any, Any] | Callable[[], Any]


def record(
    manager: TaskManager, coro_or_name: object, label: str, task_key: str | None, kwargs: dict[str, Any]
) -> tuple[TaskId, Run | None]:
    """Record a task, and return its id and the run to start.

    If an active task has the key (DEDUP-01), return its id and no run, and close the coroutine that was passed.

    Raises `SessionRequiredError` without a session's user, `InvalidInputError` for an unknown name or arguments that no
    task can have, and `TaskBackendError` if the store fails.
    """
    make_work, arguments = checked_work(coro_or_name, kwargs, maximum_payload_bytes(manager))
    session = current_session()
    if session is None or session.user_id is None:
        raise SessionRequiredError("background work needs a user: with module_sdk.session(user=…)")
    clock = getattr(manager, "clock", system_clock)
    task = Task.new(
        user_id=session.user_id,
        organization_id=session.organization_id,
        module=session.module,
        label=label,
        task_key=task_key,
        now=None if clock is system_clock else clock(),
        function=coro_or_name if isinstance(coro_or_name, str) else None,
        arguments=arguments or None,
    )
    holder, created = create_task(manager, task)
    if created:
        return TaskId(task.id, created=True), Run(task, make_work())
    close_coroutine(coro_or_name)
    return TaskId(holder.id, created=False), None


def checked_work(
    coro_or_name: object, kwargs: dict[str, Any], maximum: int
) -> tuple[Callable[[], Work], dict[str, Any]]:
    """Return a function that makes the work once the task is recorded, and the arguments of the registered function.

    Raises `InvalidInputError`.
    """
    # The abstract class, because compilers such as Cython have their own coroutine types.
    if isinstance(coro_or_name, Coroutine):
        if kwargs:
            raise InvalidInputError("keyword arguments go to registered functions, not to a coroutine", field="kwargs")
        coroutine = coro_or_name
        return lambda: coroutine, {}
    if not isinstance(coro_or_name, str):
        raise InvalidInputError(
            f"run_background takes a coroutine or a registered name, not {type(coro_or_name).__name__}",
            field="coro_or_name",
        )
    function = registered(coro_or_name)
    # Encoded and decoded, so that a function gets the same arguments here as on another machine.
    arguments: dict[str, Any] = decode_payload(encode_payload(kwargs, "kwargs", maximum))  # type: ignore[assignment]  # a dict went in
    call = functools.partial(function, **arguments)
    try:
        inspect.signature(function).bind(**kwargs)
    except TypeError as error:
        raise InvalidInputError(f"{coro_or_name!r} does not take these arguments: {error}", field="kwargs") from None
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    return (lambda: called(call)) if is_async else (lambda: call), arguments


async def called(call: Callable[[], Any]) -> Any:
    """Make the call inside a coroutine, so that no part of it can fail before the work runs."""
    return call()
