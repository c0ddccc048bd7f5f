"""Writing task state for the facade: the manager decides, then observers and subscribers are told."""

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
    """The manager's own; an injected object that is no `TaskManager` may say nothing of it."""
    return manager.options.maximum_payload_bytes if isinstance(manager, TaskManager) else DEFAULT_MAXIMUM_BYTES


def create_task(manager: TaskManager, task: Task) -> tuple[Task, bool]:
    """`TaskManager.create`, announced as `created` if it was."""
    holder, created = manager.create(task)
    if created:
        announce(holder.to_row, "created")
    return holder, created


def update_task(
    manager: TaskManager, task_id: AnyTaskId, scope: Identifier | Anything | None, **fields: Any
) -> TaskRow | None:
    """`TaskManager.update`, announced by the new status, or as `updated`."""
    row = manager.update(task_id, organization_id=scope, **fields)
    if row is not None:
        announce(row.copy, fields.get("status", "updated"))
    return row


def somebody_listens() -> bool:
    """Whether changes are to be announced, for which their rows are needed."""
    return observers.are_there() or bool(subscribers.current)


def announce(new_row: Callable[[], TaskRow], change: TaskChange) -> None:
    """Tell those who listen; mostly nobody does, and then no row is made for them."""
    if observers.are_there():
        observers.notify("module_sdk_task_changed", row=new_row(), change=change)
    if subscribers.current:
        row = new_row()
        event: ChangedEvent = {"type": "changed", "task_id": row["id"], "change": change, "row": row}
        subscribers.publish(row["organization_id"], event)
