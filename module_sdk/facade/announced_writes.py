"""Writes of task state for the facade: the manager stores the change, then observers and subscribers are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from module_sdk.domain.payloads import DEFAULT_MAXIMUM_BYTES
from module_sdk.domain.sentinels import Anything
from module_sdk.domain.shapes import AnyTaskId, ChangedEvent, Identifier, TaskChange, TaskRow
from module_sdk.domain.task import Task
from module_sdk.facade.events import subscribers
from module_sdk.plugins.observers import observers
from module_sdk.store.manager import TaskManager


def maximum_payload_bytes(manager: TaskManager) -> int:
    """Return the manager's limit, or the default for an injected object that is not a `TaskManager`."""
    return manager.options.maximum_payload_bytes if isinstance(manager, TaskManager) else DEFAULT_MAXIMUM_BYTES


def create_task(manager: TaskManager, task: Task) -> tuple[Task, bool]:
    """Call `TaskManager.create` and, if the task was created, announce it as `created`."""
    holder, created = manager.create(task)
    if created:
        announce(holder.to_row, "created")
    return holder, created


def update_task(
    manager: TaskManager, task_id: AnyTaskId, scope: Identifier | Anything | None, **fields: Any
) -> TaskRow | None:
    """Call `TaskManager.update` and announce the change: the new status, or `updated` if the status did not change."""
    row = manager.update(task_id, organization_id=scope, **fields)
    if row is not None:
        announce(row.copy, fields.get("status", "updated"))
    return row


def has_listeners() -> bool:
    """Return whether changes must be announced, which requires their rows."""
    return observers.any_exist() or bool(subscribers.current)


def announce(new_row: Callable[[], TaskRow], change: TaskChange) -> None:
    """Notify observers and subscribers. Build the row only if there are any, which is rare."""
    if observers.any_exist():
        observers.notify("module_sdk_task_changed", row=new_row(), change=change)
    if subscribers.current:
        row = new_row()
        event: ChangedEvent = {"type": "changed", "task_id": row["id"], "change": change, "row": row}
        subscribers.publish(row["organization_id"], event)
