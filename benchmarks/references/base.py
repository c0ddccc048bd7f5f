"""What every reference offers; each returns the very rows of the manager, and is as durable."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from benchmarks.references.rows import NewTask, Row
from module_sdk.domain.record import TaskRecord


class Reference(abc.ABC):
    """One connection to the tables of one namespace, which our manager has made. For one thread at a time."""

    @abc.abstractmethod
    def list_user_tasks(self, user_id: int, organization_id: int) -> list[Row]:
        """The rows of `module_sdk.tasks.list_user_tasks`."""

    @abc.abstractmethod
    def get_tasks_by_key(self, task_key: str, organization_id: int) -> list[Row]:
        """The rows of `module_sdk.tasks.get_tasks_by_key`."""

    @abc.abstractmethod
    def get_tasks_by_key_prefix(self, prefix: str, organization_id: int) -> list[Row]:
        """The rows of `module_sdk.tasks.get_tasks_by_key_prefix`."""

    @abc.abstractmethod
    def create(self, task: NewTask) -> tuple[Row, bool]:
        """The row of the new task and true, or the row of the active holder of its key and false."""

    @abc.abstractmethod
    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        """The new row of a task that has not ended; its `updated_at` is above every earlier one."""

    @abc.abstractmethod
    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        """The new row of a running task that ends with a result and frees its key."""

    @abc.abstractmethod
    def load(self, records: Sequence[TaskRecord]) -> None:
        """Write records of new ids in bulk, as fast as the driver can."""

    @abc.abstractmethod
    def another(self) -> Reference:
        """The same tables through a connection of its own, for another thread."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the connection back."""
