"""Mutants of what becomes JSON or text on its way into a store: payloads and ids."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from module_sdk.backends import Task
from module_sdk.domain.rows import LookupResult
from module_sdk.errors import PayloadError
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant

PAYLOADS: Final = ("checkpoint", "result", "confirmation")


@mutant("j1", "what json does not know is written as its text", clause="ROW-10")
class WritesByText(MemoryMutant):
    """What `json` does not know is written as its text, in updates."""

    def update(self, task_id: Any, **changes: Any) -> Any:
        for name in PAYLOADS:
            value = changes.get(name)
            if isinstance(value, dict | list | tuple):
                changes[name] = json.loads(json.dumps(value, default=str, skipkeys=True))
        return super().update(task_id, **changes)


@mutant("j2", "a new task comes back as it was given", clause="ROW-10")
class CreatedAsGiven(MemoryMutant):
    """A new task comes back with the values that were given, and not with those that are stored."""

    def create(self, task: Task, **options: Any) -> tuple[Task, bool]:
        created, is_new = super().create(task, **options)
        return (task if is_new else created), is_new


@mutant("j3", "refused payloads name no path", clause="ROW-10")
class NamesNoPath(MemoryMutant):
    """What is refused is named by its field alone."""

    def update(self, task_id: Any, **changes: Any) -> Any:
        try:
            return super().update(task_id, **changes)
        except PayloadError as error:
            raise PayloadError(f"{error.field} must be JSON", field=error.field, maximum=error.maximum) from None


@mutant("j4", "UUIDs without hyphens", clause="SCOPE-14")
class UuidsWithoutHyphens(MemoryMutant):
    """A UUID object is another text than everywhere else."""

    def list_user_tasks(self, user_id: Any, *arguments: Any, **options: Any) -> LookupResult:
        return super().list_user_tasks(
            user_id.hex if isinstance(user_id, uuid.UUID) else user_id, *arguments, **options
        )


@mutant("j5", "UUIDs are no ids of tasks", clause="SCOPE-14")
class UuidsAreNoIdsOfTasks(MemoryMutant):
    """The task of a UUID object is not found."""

    def get(self, task_id: Any, **options: Any) -> Task | None:
        return super().get(repr(task_id) if isinstance(task_id, uuid.UUID) else task_id, **options)
