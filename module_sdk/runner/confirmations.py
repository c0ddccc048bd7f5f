"""Confirmations: questions that a task asks, and the responses to them (clauses LIFE)."""

from __future__ import annotations

import contextlib
import logging
from concurrent.futures import CancelledError, Future
from typing import Any

from module_sdk.domain.payloads import decode_payload, encode_payload
from module_sdk.domain.reports import report
from module_sdk.domain.sentinels import ANY, Anything
from module_sdk.domain.shapes import AnyTaskId, Identifier, Json, TaskRow
from module_sdk.domain.statuses import INTERRUPTED, RUNNING, WAITING_CONFIRMATION
from module_sdk.domain.text_rules import task_id_text
from module_sdk.errors import (
    CapabilityError,
    IllegalTransitionError,
    InvalidInputError,
    ModuleSDKError,
    PayloadError,
    TaskCancelledError,
    TaskNotFoundError,
)
from module_sdk.facade import async_calls
from module_sdk.facade.announced_writes import announce, maximum_payload_bytes
from module_sdk.facade.runtime import Runtime, get_runtime
from module_sdk.facade.sessions import session_scope
from module_sdk.runner.executor import local_run
from module_sdk.runner.run import Run, settle
from module_sdk.runner.task_actions import refuse_stopped, scope_of
from module_sdk.store.manager import TaskManager


class Question:
    """One question of one task, from the call that asks it until it is answered or given up.

    The asker gives it up by cancelling its `response`. That can happen at any moment, even while another thread is
    writing the question. Every step below must therefore check the response once it has acquired `run.asking`, the
    lock that serializes the steps of one task. No user code runs under that lock.
    """

    def __init__(self, task_id: AnyTaskId) -> None:
        self.task_id = task_id_text(task_id)
        self.response: Future[dict[str, Any]] = Future()
        self.written_for: tuple[Runtime, Run] | None = None

    def ask(self, builder: object) -> None:
        """Move the task to `waiting_confirmation`. The answer will be the result of `response`."""
        refuse_stopped(self.task_id)
        runtime = get_runtime()
        scope = scope_of(runtime, self.task_id)
        run = local_run(runtime, self.task_id)
        if run is None or scope not in (ANY, run.task.organization_id):
            raise no_local_run(runtime, self.task_id, scope)
        confirmation = builder.to_dict() if hasattr(builder, "to_dict") else builder
        if confirmation is None:
            raise PayloadError("builder must not be None", field="builder")
        manager = runtime.manager()
        with run.asking:
            if self.response.cancelled():
                return
            earlier = run.confirmation
            if earlier is not None and not earlier.cancelled():
                raise IllegalTransitionError(self.task_id, status=WAITING_CONFIRMATION, wanted=WAITING_CONFIRMATION)
            if earlier is not None:
                withdraw(manager, run)
            self.written_for = runtime, run
            run.confirmation = self.response
            row = self.write(manager, run, scope, confirmation)
        announce(row.copy, WAITING_CONFIRMATION)

    def write(
        self, manager: TaskManager, run: Run, scope: Identifier | Anything | None, confirmation: object
    ) -> TaskRow:
        try:
            row = manager.update(run.id, organization_id=scope, status=WAITING_CONFIRMATION, confirmation=confirmation)
        except (IllegalTransitionError, InvalidInputError) as error:
            # The question was certainly not written. After any other error it may have been, so the next question
            # withdraws it first.
            run.confirmation = None
            if isinstance(error, IllegalTransitionError) and error.status == INTERRUPTED:
                raise TaskCancelledError(f"task {self.task_id} was cancelled") from error
            raise
        if row is None:
            raise TaskNotFoundError(f"there is no task {self.task_id}")
        return row

    def give_up(self) -> None:
        """Accept no more answers, and move the task back to `running` without waiting for the store."""
        if not self.response.cancel() or self.written_for is None:
            return
        runtime, run = self.written_for
        if run.confirmation is self.response:
            with contextlib.suppress(ModuleSDKError):  # without a thread, the next question or the end withdraws it
                runtime.threads().submit(lambda: self.withdraw(runtime.manager(), run), cancellable=False)

    def withdraw(self, manager: TaskManager, run: Run) -> None:
        if run.cancelled.is_set() or run.ended.done():
            return
        try:
            with run.asking:
                if run.confirmation is self.response:
                    withdraw(manager, run)
        except Exception as error:  # an injected manager may raise anything
            report(logging.WARNING, "the question that task %s gave up could not be withdrawn", run.id, error=error)


def withdraw(manager: TaskManager, run: Run) -> None:
    """Withdraw a question that was given up: move its task back to `running`. The caller must hold `run.asking`."""
    task = manager.get(run.id, organization_id=ANY)
    # Change only a task that waits for a confirmation. A pending task could legally move to running as well.
    if task is not None and task.status == WAITING_CONFIRMATION:
        with contextlib.suppress(IllegalTransitionError):  # the task has ended in the meantime
            manager.update(run.id, organization_id=ANY, status=RUNNING)
    run.confirmation = None


async def await_response(task_id: AnyTaskId, builder: object) -> dict[str, Json]:
    """Ask and wait for the response in this coroutine. Return the response."""
    import asyncio  # noqa: PLC0415  # as in async_calls.py

    question = Question(task_id)
    try:
        await async_calls.in_thread(question.ask, builder)
        return await asyncio.wrap_future(question.response)
    except BaseException:
        question.give_up()
        raise


def wait_for_response(task_id: AnyTaskId, builder: object) -> dict[str, Json]:
    """Ask and wait for the response on this thread. Return the response."""
    question = Question(task_id)
    try:
        question.ask(builder)
        return question.response.result()
    except CancelledError:
        raise TaskCancelledError(f"task {task_id} was cancelled") from None
    except BaseException:
        question.give_up()
        raise


def respond_confirmation(task_id: AnyTaskId, response: dict[str, Any]) -> None:
    if not isinstance(response, dict):
        raise InvalidInputError(f"response must be a dict, not {type(response).__name__}", field="response")
    runtime = get_runtime()
    manager = runtime.manager()
    text = encode_payload(response, "response", maximum_payload_bytes(manager))
    scope = session_scope()
    task_id = task_id_text(task_id)
    run = local_run(runtime, task_id)
    if run is None or scope not in (ANY, run.task.organization_id):
        raise no_local_run(runtime, task_id, scope)
    with run.asking:
        waiting = run.confirmation
        if waiting is not None and waiting.cancelled():
            withdraw(manager, run)
            waiting = None
        if waiting is None:
            raise no_local_run(runtime, task_id, scope)
        # The update of the status decides which of several responses counts. For the others it raises.
        row = manager.update(task_id, organization_id=scope, status=RUNNING)
        if row is None:
            raise TaskNotFoundError(f"there is no task {task_id}")
        is_taken = run.take(waiting)
    try:
        announce(row.copy, RUNNING)
    finally:
        is_delivered = is_taken and settle(waiting, decode_payload(text))  # type: ignore[arg-type]  # a dict went in
    if not is_delivered:
        # The asker gave up or the task was stopped while the status was being updated.
        raise no_local_run(runtime, task_id, scope)


def no_local_run(runtime: Runtime, task_id: AnyTaskId, scope: Identifier | Anything | None) -> Exception:
    """Return the error that says why this process cannot ask or answer the question of this task."""
    task = runtime.manager().get(task_id, organization_id=scope)
    if task is None:
        return TaskNotFoundError(f"there is no task {task_id}")
    if local_run(runtime, task_id) is None and task.is_active:
        return CapabilityError(f"task {task_id} runs in another process")
    return IllegalTransitionError(task_id_text(task_id), status=task.status, wanted=RUNNING)
