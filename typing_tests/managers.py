"""The types of the configuration, and of managers that are opened without it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import module_sdk
from module_sdk import Task, TaskDict, TaskManager, TaskRow, TaskStatus, TaskView
from module_sdk.tasks import LookupResult


class OwnManager:
    """A manager of an application, with no more methods than lookups need."""

    def list_user_tasks(self, user: int, organization: int | None, *, limit: int | None) -> list[Mapping[str, object]]:
        return []

    def get_tasks_by_key(self, key: str, organization: int | None = None, **options: object) -> list[object]:
        return []

    def get_tasks_by_key_prefix(self, prefix: str, organization: object, *, limit: object) -> object:
        return []


def configuration(path: Path, own: dict[str, Any]) -> None:
    module_sdk.configure()
    module_sdk.configure("memory://")
    module_sdk.configure(url="memory://", namespace="shop", lookup_timeout_seconds=0.5, breaker=False)
    module_sdk.configure(url_file=path, require_url=True)
    module_sdk.configure(url=None, max_running_tasks=4)
    module_sdk.configure(manager=OwnManager(), async_threads=4)
    module_sdk.configure(manager=module_sdk.open_manager("memory://"))
    module_sdk.configure(manager=None)
    module_sdk.configure(url="postgresql://db/app", timeout_seconds=5, **own)
    assert_type(module_sdk.open_manager("memory://"), TaskManager)
    module_sdk.open_manager("memory://", clock=lambda: 0, auto_setup=False, max_connections=2)
    module_sdk.open_manager("postgresql://db/app", **own)


def managers(manager: TaskManager, task_id: str, status: TaskStatus) -> None:
    task = Task.new(user_id=7, organization_id="acme", module="m", task_key="k", arguments={"a": 1})
    assert_type(task.status, TaskStatus)
    assert_type(task.to_row(), TaskRow)
    assert_type(task.to_view(), TaskView)
    assert_type(task.to_dict(), TaskDict)
    assert_type(Task.from_dict(task.to_dict()), Task)
    assert_type(Task.from_dict(task.to_view()), Task)
    assert_type(manager.create(task), tuple[Task, bool])
    assert_type(manager.import_tasks(iter([task])), int)
    assert_type(manager.get(task_id, organization_id=None), Task | None)
    assert_type(manager.get(uuid.UUID(task_id), timeout_seconds=1), Task | None)
    assert_type(manager.update(task_id, status=status, progress=1, result={"a": 1}), TaskRow | None)
    assert_type(manager.list_user_tasks(7, 3), LookupResult)
    assert_type(manager.page(filters={"status": "failed"}, sort="-label", organization_id=module_sdk.ANY), LookupResult)
    assert_type(manager.count(filters={"module": ["a", "b"]}), int)
    assert_type(manager.prune(3600, organization_id=3), int)
    assert_type(manager.explain("get_tasks_by_key", "k").rows_examined, int)


def refused(manager: TaskManager, task_id: str) -> None:
    module_sdk.configure(url=7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    module_sdk.configure(url="memory://", manager=manager)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    module_sdk.configure(lookup_timeout_second=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    module_sdk.configure(breaker="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    module_sdk.configure(url=None, url_file="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    module_sdk.configure(manager=manager, url_file="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    module_sdk.configure(manager="memory://")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    module_sdk.open_manager("memory://", namespac="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    module_sdk.open_manager("memory://", lookup_timeout_seconds=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    module_sdk.open_manager("memory://", max_connections="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    module_sdk.open_manager()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    manager.update(task_id, status="done")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    manager.update(task_id, colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    manager.page(sort="colour")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    manager.page(filters={"colour": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    manager.list_user_tasks(7, module_sdk.ANY)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    manager.explain("page", "k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Task.new(user_id=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
