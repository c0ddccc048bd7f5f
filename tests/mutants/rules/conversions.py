"""Mutants of the conversion of payloads to JSON and of ids to text."""

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


@mutant("j1", "values that json does not know are written as their text", clause="ROW-10")
class WritesByText(MemoryMutant):
    """An update writes values that `json` does not know as their text."""

    def update(self, task_id: Any, **changes: Any) -> Any:
        for name in PAYLOADS:
            value = changes.get(name)
            if isinstance(value, dict | list | tuple):
                changes[name] = json.loads(json.dumps(value, default=str, skipkeys=True))
        return super().update(task_id, **changes)


@mutant("j2", "a new task is returned as given, not as stored", clause="ROW-10")
class CreatedAsGiven(MemoryMutant):
    """A create returns the values that it was given instead of those that it stored."""

    def create(self, task: Task, **options: Any) -> tuple[Task, bool]:
        created, is_new = super().create(task, **options)
        return (task if is_new else created), is_new


@mutant("j3", "refused payloads name no path", clause="ROW-10")
class NamesNoPath(MemoryMutant):
    """The error of a refused payload names its field and not the path in it."""

    def update(self, task_id: Any, **changes: Any) -> Any:
        try:
            return super().update(task_id, **changes)
        except PayloadError as error:
            raise PayloadError(f"{error.field} must be JSON", field=error.field, maximum=error.maximum) from None


@mutant("j4", "UUIDs without hyphens", clause="SCOPE-14")
class UuidsWithoutHyphens(MemoryMutant):
    """A lookup by user converts a UUID object to another text than a write does."""

    def list_user_tasks(self, user_id: Any, *arguments: Any, **options: Any) -> LookupResult:
        return super().list_user_tasks(
            user_id.hex if isinstance(user_id, uuid.UUID) else user_id, *arguments, **options
        )


@mutant("j5", "a UUID object finds no task", clause="SCOPE-14")
class UuidsAreNoIdsOfTasks(MemoryMutant):
    """A get converts a UUID object to a text that no task has as its id."""

    def get(self, task_id: Any, **options: Any) -> Task | None:
        return super().get(repr(task_id) if isinstance(task_id, uuid.UUID) else task_id, **options)
