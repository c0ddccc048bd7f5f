"""Progress and cancellation of recorded tasks."""

from __future__ import annotations

import logging
from typing import Final

from module_sdk.domain.payloads import decode_payload, encode_payload
from module_sdk.domain.reports import report
from module_sdk.domain.sentinels import ANY, UNSET, Anything
from module_sdk.domain.shapes import AnyTaskId, Identifier, ProgressEvent
from module_sdk.domain.statuses import INTERRUPTED
from module_sdk.domain.task import Task, check_progress
from module_sdk.domain.text_rules import MAXIMUM_LABEL_BYTES, check_text, task_id_text
from module_sdk.errors import IllegalTransitionError, TaskCancelledError
from module_sdk.facade.announced_writes import maximum_payload_bytes, update_task
from module_sdk.facade.events import subscribers
from module_sdk.facade.runtime import Runtime, get_runtime
from module_sdk.facade.sessions import current_session, session_scope
from module_sdk.runner.executor import local_run, started_runner
from module_sdk.runner.outcome import CANCELLED
from module_sdk.runner.run import live_runs


def scope_of(runtime: Runtime, task_id: AnyTaskId) -> Identifier | Anything | None:
    """Return the session's scope, or, without a session, `ANY` for a task of this process.

    Threads of the host, which do not inherit the session, may report the progress of such a task.
    """
    if current_session() is None and local_run(runtime, task_id) is not None:
        return ANY
    return session_scope()


def refuse_stopped(task_id: AnyTaskId) -> None:
    """Raise `TaskCancelledError` for work of this process that was told to stop. Its store may be closed by now."""
    run = live_runs.get(task_id_text(task_id))
    if run is None or not run.cancelled.is_set():
        return
    session = current_session()
    if session is None or session.scope in (ANY, run.task.organization_id):
        raise TaskCancelledError(f"task {task_id} was cancelled")


# Larger than 1 by more than the rounding errors of sums of floats.
WARNING_THRESHOLD: Final = 1.01
# The functions, or the tasks of other processes, that a warning has named.
warned_of: Final[set[str]] = set()
MAXIMUM_WARNINGS: Final = 1_000


def warn_of_percent(task_id: AnyTaskId, progress: object) -> None:
    """Warn once per function that progress is a fraction. A progress above 1 is stored as 1 without an error."""
    if not isinstance(progress, int | float) or not progress > WARNING_THRESHOLD:
        return
    run = live_runs.get(task_id_text(task_id))
    name = f"task {task_id}" if run is None else run.name
    if name in warned_of or len(warned_of) >= MAXIMUM_WARNINGS:
        return
    warned_of.add(name)
    # An integer may be too large to convert to a float or to text.
    shown = float(min(progress, 1e12))
    report(logging.WARNING, "%s reported progress %g, which counts as 1: it is a fraction, from 0 to 1", name, shown)


def update_progress(task_id: AnyTaskId, progress: float, checkpoint: object, label: str | None) -> None:
    refuse_stopped(task_id)
    runtime = get_runtime()
    try:
        update_task(
            runtime.manager(),
            task_id,
            scope_of(runtime, task_id),
            progress=progress,
            checkpoint=UNSET if checkpoint is None else checkpoint,
            label=UNSET if label is None else label,
        )
    except IllegalTransitionError as error:
        if error.status == INTERRUPTED:
            raise TaskCancelledError(f"task {task_id} was cancelled") from error
        raise
    warn_of_percent(task_id, progress)


def emit_progress(task_id: AnyTaskId, progress: float | None, label: str | None, checkpoint: object) -> None:
    runtime = get_runtime()
    scope = scope_of(runtime, task_id)
    run = local_run(runtime, task_id)
    manager = runtime.manager()
    if run is not None and scope in (ANY, run.task.organization_id):
        task: Task | None = run.task
    else:
        # Also for work of this process in another organization: the call must take as long as for an unknown id.
        task = manager.get(task_id, organization_id=scope)
    if task is None:
        return
    event: ProgressEvent = {
        "type": "progress",
        "task_id": task.id,
        "progress": None if progress is None else check_progress(progress),
        "label": None if label is None else check_text(label, "label", MAXIMUM_LABEL_BYTES),
        "checkpoint": decode_payload(encode_payload(checkpoint, "checkpoint", maximum_payload_bytes(manager))),
    }
    warn_of_percent(task_id, progress)
    subscribers.publish(task.organization_id, event)


def cancel(task_id: AnyTaskId) -> bool:
    runtime = get_runtime()
    scope = session_scope()
    try:
        found = moved = update_task(runtime.manager(), task_id, scope, status=INTERRUPTED, error=CANCELLED) is not None
    except IllegalTransitionError as error:
        # Another process interrupted the task, or the reply to an earlier call was lost. The work here must stop too.
        found, moved = error.status == INTERRUPTED, False
    runner = started_runner(runtime)
    if found and runner is not None:
        runner.stop(task_id_text(task_id))
    return moved
