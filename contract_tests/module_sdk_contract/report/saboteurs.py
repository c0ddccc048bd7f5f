"""Saboteurs for the canaries: each makes any manager commit one typical mistake of a backend.

They wrap public methods of the manager that a test's `Store` has opened, so they work with every store.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

from module_sdk.backends import Task, TaskBackendError, TaskManager
from module_sdk.domain.shapes import LOOKUPS, TaskRow
from module_sdk.tasks import LookupResult
from module_sdk_contract.harness import Store

PAYLOADS = ("checkpoint", "result", "confirmation", "arguments")


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A lookup of a test, and the original method of the manager for it."""

    method: Callable[..., LookupResult]
    operation: str
    argument: Any
    organization_id: Any
    limit: int | None

    def ask(self, **changes: Any) -> LookupResult:
        """Return the manager's original answer to the question, after replacing the fields that `changes` name."""
        asked = dataclasses.replace(self, **changes)
        return self.method(asked.argument, asked.organization_id, limit=asked.limit)


class Saboteur:
    """A saboteur that changes nothing; subclasses override the methods that they break. Each test has its own."""

    def sabotage(self, store: Store) -> None:
        """Wrap the manager of the store and those that the store opens later."""
        opened = store.open

        def open_sabotaged(**options: Any) -> TaskManager:
            manager = opened(**options)
            self.wrap(manager)
            return manager

        setattr(store, "open", open_sabotaged)  # noqa: B010  # a method is replaced on purpose
        self.wrap(store.manager)

    def wrap(self, manager: TaskManager) -> None:
        """Replace the manager's writes and lookups with the methods of this saboteur."""
        methods = {name: getattr(self, name) for name in ("create", "import_tasks", "update")}
        methods |= {operation: functools.partial(self.lookup, operation) for operation in LOOKUPS}
        for name, method in methods.items():
            setattr(manager, name, functools.partial(method, getattr(manager, name)))

    # --- What a subclass overrides ----------------------------------------------------------------------------------

    def written(self, task: Task) -> Task:
        """Return the task that is written instead of `task`."""
        return task

    def create(self, original: Callable[..., tuple[Task, bool]], task: Task, **options: Any) -> tuple[Task, bool]:
        return original(self.written(task), **options)

    def import_tasks(self, original: Callable[..., int], tasks: Iterable[Task], **options: Any) -> int:
        return original(map(self.written, tasks), **options)

    def update(self, original: Callable[..., TaskRow | None], task_id: str, **changes: Any) -> TaskRow | None:
        return original(task_id, **changes)

    def answer(self, question: Question) -> LookupResult:
        return question.ask()

    def lookup(
        self,
        operation: str,
        original: Callable[..., LookupResult],
        argument: Any,
        organization_id: Any = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        method = functools.partial(original, timeout_seconds=timeout_seconds)
        return self.answer(Question(method, operation, argument, organization_id, limit))


def newest_first(rows: Iterable[TaskRow], limit: int | None, *, ties_reversed: bool = False) -> LookupResult:
    by_id = sorted(rows, key=lambda row: str(row["id"]), reverse=not ties_reversed)
    return LookupResult(sorted(by_id, key=lambda row: str(row["created_at"]), reverse=True)[:limit])


class DropsScope(Saboteur):
    """Lookups return the tasks of every organization."""

    def __init__(self) -> None:
        self.organizations: dict[Any, None] = {None: None}

    def written(self, task: Task) -> Task:
        self.organizations[task.organization_id] = None
        return task

    def answer(self, question: Question) -> LookupResult:
        scopes = dict.fromkeys([question.organization_id, *self.organizations])
        found = {row["id"]: row for scope in scopes for row in question.ask(organization_id=scope, limit=None)}
        return newest_first(found.values(), question.limit)


class SwapsTies(Saboteur):
    """Rows of equal time are in ascending order of id."""

    def answer(self, question: Question) -> LookupResult:
        return newest_first(question.ask(limit=None), question.limit, ties_reversed=True)


class RoundsTimes(Saboteur):
    """Creation times are kept in milliseconds."""

    def written(self, task: Task) -> Task:
        return dataclasses.replace(task, created_at=task.created_at // 1_000 * 1_000)


class FoldsCase(Saboteur):
    """Keys that differ in case are one key."""

    def written(self, task: Task) -> Task:
        return dataclasses.replace(task, task_key=task.task_key and task.task_key.lower())

    def answer(self, question: Question) -> LookupResult:
        by_key = question.operation != "list_user_tasks"
        return question.ask(argument=question.argument.lower()) if by_key else question.ask()


class SwallowsWrites(Saboteur):
    """New tasks are acknowledged and not written."""

    def create(self, original: Callable[..., tuple[Task, bool]], task: Task, **options: Any) -> tuple[Task, bool]:
        return task, True

    def import_tasks(self, original: Callable[..., int], tasks: Iterable[Task], **options: Any) -> int:
        return len(list(tasks))


class TurnsTrueIntoOne(Saboteur):
    """Payloads lose the difference between `True` and `1`."""

    def written(self, task: Task) -> Task:
        return dataclasses.replace(task, **{name: without_true(getattr(task, name)) for name in PAYLOADS})

    def update(self, original: Callable[..., TaskRow | None], task_id: str, **changes: Any) -> TaskRow | None:
        altered = {name: without_true(value) if name in PAYLOADS else value for name, value in changes.items()}
        return original(task_id, **altered)


def without_true(payload: Any) -> Any:
    if isinstance(payload, list):
        return [without_true(item) for item in payload]
    if isinstance(payload, dict):
        return {key: without_true(value) for key, value in payload.items()}
    return 1 if payload is True else payload


class HidesFailures(Saboteur):
    """A failed lookup is an empty answer."""

    def answer(self, question: Question) -> LookupResult:
        try:
            return question.ask()
        except TaskBackendError:
            return LookupResult()
