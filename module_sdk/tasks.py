"""Task state for module code: find work, start it, report on it (docs/reference.md).

The three lookups never raise: on failure they return an empty list whose `.error` is the exception. All other calls
raise. Every call that waits for the store has an async version, whose name begins with `a`.
"""

from module_sdk.domain.rows import LookupResult
from module_sdk.domain.task_id import TaskId
from module_sdk.facade.events import Subscription, subscribe
from module_sdk.facade.lookup_calls import (
    aget_tasks_by_key,
    aget_tasks_by_key_prefix,
    alist_user_tasks,
    get_tasks_by_key,
    get_tasks_by_key_prefix,
    list_user_tasks,
)
from module_sdk.facade.lookup_failures import lookup_failures
from module_sdk.facade.runtime import shutdown
from module_sdk.runner.current import CurrentTask, current
from module_sdk.runner.functions import register
from module_sdk.runner.work_calls import (
    acancel,
    aemit_progress,
    arequest_confirmation,
    arespond_confirmation,
    arun_background,
    ashutdown,
    aupdate_progress,
    await_task,
    cancel,
    emit_progress,
    emit_progress_sync,
    request_confirmation,
    request_confirmation_sync,
    respond_confirmation,
    run_background,
    run_background_sync,
    update_progress,
    update_progress_sync,
    wait,
    wait_task,
)

__all__ = [
    "CurrentTask",
    "LookupResult",
    "Subscription",
    "TaskId",
    "acancel",
    "aemit_progress",
    "aget_tasks_by_key",
    "aget_tasks_by_key_prefix",
    "alist_user_tasks",
    "arequest_confirmation",
    "arespond_confirmation",
    "arun_background",
    "ashutdown",
    "aupdate_progress",
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
    "wait_task",
]
