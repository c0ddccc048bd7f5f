"""The three lookups of `module_sdk.tasks`, synchronous and asynchronous (clauses FAIL, SCOPE).

None of them raises: a failure is the `.error` of an empty list.
"""

from __future__ import annotations

import time

from module_sdk.domain.rows import LookupResult
from module_sdk.domain.shapes import Identifier, LookupName
from module_sdk.facade import async_calls
from module_sdk.facade.lookup_failures import failures
from module_sdk.facade.runtime import get_runtime

__all__ = [
    "aget_tasks_by_key",
    "aget_tasks_by_key_prefix",
    "alist_user_tasks",
    "get_tasks_by_key",
    "get_tasks_by_key_prefix",
    "list_user_tasks",
]


def list_user_tasks(
    user_id: Identifier, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """Return the tasks of one user in one organization, newest first. Never raises.

    Example:
        rows = tasks.list_user_tasks(7, 3, limit=20)
        running = [row["label"] for row in rows if row["status"] == "running"]

    Args:
        user_id: An integer, text or a UUID.
        organization_id: Exactly this organization. `None` means the tasks that belong to no organization.
        limit: The maximum number of rows; the newest are returned. `None` means all of them.

    Returns:
        A `list` of `TaskRow`s. After a failure it is empty and its `.error` is the exception; otherwise `.error` is
        `None`. Its `.skipped` counts stored records that cannot be read.
    """
    return look_up("list_user_tasks", user_id, organization_id, limit)


def get_tasks_by_key(
    task_key: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """Return the tasks whose key is exactly this, newest first. Never raises.

    Example:
        rows = tasks.get_tasks_by_key("contacts.import", 3, limit=1)
        latest = rows[0] if rows else None

    Args:
        task_key: The key, compared character by character. No task has the empty key.
        organization_id: Exactly this organization. `None` means the tasks that belong to no organization.
        limit: The maximum number of rows; the newest are returned. `None` means all of them.

    Returns:
        A `list` of `TaskRow`s. After a failure it is empty and its `.error` is the exception; otherwise `.error` is
        `None`. Its `.skipped` counts stored records that cannot be read.
    """
    return look_up("get_tasks_by_key", task_key, organization_id, limit)


def get_tasks_by_key_prefix(
    prefix: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """Return the tasks whose key starts with this text, newest first. Never raises.

    Example:
        rows = tasks.get_tasks_by_key_prefix("system.engine.install.", 3)

    Args:
        prefix: The first characters of the key, compared one by one. `%`, `*` and the like have no special meaning.
            `""` matches every task that has a key.
        organization_id: Exactly this organization. `None` means the tasks that belong to no organization.
        limit: The maximum number of rows; the newest are returned. `None` means all of them.

    Returns:
        A `list` of `TaskRow`s. After a failure it is empty and its `.error` is the exception; otherwise `.error` is
        `None`. Its `.skipped` counts stored records that cannot be read.
    """
    return look_up("get_tasks_by_key_prefix", prefix, organization_id, limit)


async def alist_user_tasks(
    user_id: Identifier, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """Do what `list_user_tasks` does, without blocking the event loop. Args and returns are the same."""
    return await alook_up("list_user_tasks", user_id, organization_id, limit)


async def aget_tasks_by_key(
    task_key: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """Do what `get_tasks_by_key` does, without blocking the event loop. Args and returns are the same."""
    return await alook_up("get_tasks_by_key", task_key, organization_id, limit)


async def aget_tasks_by_key_prefix(
    prefix: str, organization_id: Identifier | None = None, *, limit: int | None = None
) -> LookupResult:
    """Do what `get_tasks_by_key_prefix` does, without blocking the event loop. Args and returns are the same."""
    return await alook_up("get_tasks_by_key_prefix", prefix, organization_id, limit)


def look_up(
    operation: LookupName, argument: Identifier, organization_id: Identifier | None, limit: int | None
) -> LookupResult:
    return report_failure(operation, try_look_up(operation, argument, organization_id, limit, time.monotonic()))


async def alook_up(
    operation: LookupName, argument: Identifier, organization_id: Identifier | None, limit: int | None
) -> LookupResult:
    try:
        result = await async_calls.look_up_in_thread(try_look_up, operation, argument, organization_id, limit)
    except Exception as error:  # as in `try_look_up`
        result = LookupResult(error=error)
    return report_failure(operation, result)


def try_look_up(
    operation: LookupName,
    argument: Identifier,
    organization_id: Identifier | None,
    limit: int | None,
    started: float,
) -> LookupResult:
    """Return the store's answer or the failure. A failure is a value because no future can carry a `StopIteration`."""
    try:
        runtime = get_runtime()
        runtime.check()
        return runtime.lookups.look_up(operation, argument, organization_id, limit, started)
    except Exception as error:  # a failing store must not break the page that is being rendered
        return LookupResult(error=error)


def report_failure(operation: LookupName, result: LookupResult) -> LookupResult:
    if result.error is not None:
        failures.record(operation, result.error)
    return result
