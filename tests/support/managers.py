"""Managers that misbehave on command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from module_sdk_memory.manager import MemoryTaskManager

from module_sdk.backends import Change, TaskBackendUnavailableError, TaskRecord
from module_sdk.domain.task import Task

Answer = Callable[[str, Any, Any, Any], Any]


def a_row(**changes: Any) -> Any:
    """Return a row as a manager returns it."""
    return Task.new(user_id=7, organization_id=3, module="tests", task_key="reports.q3").to_row() | changes


class InjectedManager:
    """An application's own manager, whose lookups call `answer(operation, argument, organization_id, limit)`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.calls: list[tuple[str, Any, Any, Any]] = []

    def look_up(self, operation: str, argument: Any, organization_id: Any, limit: Any) -> Any:
        self.calls.append((operation, argument, organization_id, limit))
        return self.answer(operation, argument, organization_id, limit)

    def list_user_tasks(self, user_id: Any, organization_id: Any = None, *, limit: Any = None) -> Any:
        return self.look_up("list_user_tasks", user_id, organization_id, limit)

    def get_tasks_by_key(self, task_key: Any, organization_id: Any = None, *, limit: Any = None) -> Any:
        return self.look_up("get_tasks_by_key", task_key, organization_id, limit)

    def get_tasks_by_key_prefix(self, prefix: Any, organization_id: Any = None, *, limit: Any = None) -> Any:
        return self.look_up("get_tasks_by_key_prefix", prefix, organization_id, limit)


class PingableManager(InjectedManager):
    """An application's own manager, whose store is unavailable while `away` is true."""

    def __init__(self) -> None:
        super().__init__(lambda *_: self.rows())
        self.away = True
        self.pings = 0

    def rows(self) -> list[dict[str, Any]]:
        if self.away:
            raise TaskBackendUnavailableError("the store is away")
        return [a_row()]

    def ping(self) -> None:
        self.pings += 1
        if self.away:
            raise TaskBackendUnavailableError("the store is still away")


def raising(error: BaseException) -> Answer:
    """Return an answer function that raises the error."""

    def answer(*_: Any) -> Any:
        raise error

    return answer


class FaultyManager(MemoryTaskManager):
    """A memory store with hooks before and after its writes, which may raise the errors of a store."""

    def __init__(self) -> None:
        super().__init__("memory://")
        self.before_update: Callable[[Change], None] = lambda change: None
        self.after_update: Callable[[Change], None] = lambda change: None
        self.after_create: Callable[[TaskRecord], None] = lambda record: None

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        stored = super().store_create(record, deadline)
        self.after_create(record)
        return stored

    def store_update(self, task_id: str, organization: str | None, change: Change, deadline: float) -> Any:
        self.before_update(change)
        row = super().store_update(task_id, organization, change, deadline)
        self.after_update(change)
        return row
