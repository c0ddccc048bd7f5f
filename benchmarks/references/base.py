"""The interface of every reference. Each returns exactly the rows of the manager and is as durable."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from benchmarks.references.rows import NewTask, Row
from module_sdk.domain.record import TaskRecord


class Reference(abc.ABC):
    """One connection to the tables of one namespace, which the manager has created. For one thread at a time."""

    @abc.abstractmethod
    def list_user_tasks(self, user_id: int, organization_id: int) -> list[Row]:
        """Return the rows of `module_sdk.tasks.list_user_tasks`."""

    @abc.abstractmethod
    def get_tasks_by_key(self, task_key: str, organization_id: int) -> list[Row]:
        """Return the rows of `module_sdk.tasks.get_tasks_by_key`."""

    @abc.abstractmethod
    def get_tasks_by_key_prefix(self, prefix: str, organization_id: int) -> list[Row]:
        """Return the rows of `module_sdk.tasks.get_tasks_by_key_prefix`."""

    @abc.abstractmethod
    def create(self, task: NewTask) -> tuple[Row, bool]:
        """Return the row of the new task and true, or the row of the active holder of its key and false."""

    @abc.abstractmethod
    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        """Return the new row of an active task, or `None` if there is none. `updated_at` must rise with every write."""

    @abc.abstractmethod
    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        """End a running task with a result and free its key. Return the new row, or `None` if there is no such task."""

    @abc.abstractmethod
    def load(self, records: Sequence[TaskRecord]) -> None:
        """Write records with new ids in bulk, as fast as the driver can."""

    @abc.abstractmethod
    def for_another_thread(self) -> Reference:
        """Return a client of the same tables with a connection of its own. One that is thread-safe returns itself."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""
