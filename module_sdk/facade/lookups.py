"""The soft side of the three lookups: a deadline, a breaker, and an answer that is never an exception (clauses FAIL).

What can go wrong ends as an empty list whose `.error` says what it was.
"""

from __future__ import annotations

import contextvars
import functools
import time
from collections.abc import Callable
from typing import Any, Final

from module_sdk.domain.query import MAXIMUM_OFFSET, check_count
from module_sdk.domain.record import ROW_FIELDS
from module_sdk.domain.rows import LookupResult
from module_sdk.domain.scopes import organization_text
from module_sdk.domain.shapes import LOOKUPS
from module_sdk.domain.text_rules import UUIDS, identifier_text, plain_text
from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.facade.breaker import Breaker
from module_sdk.store.detached_workers import LateError, Workers
from module_sdk.store.manager import TaskManager

MAXIMUM_FOREIGN_CALLS: Final = 16
ROW_KEYS: Final = frozenset(ROW_FIELDS)


class SafeLookups:
    """Asks one manager, in the caller's thread if it promises to be `bounded`, and checks answers it cannot trust."""

    def __init__(self, manager: Any, *, timeout_seconds: float, use_breaker: bool) -> None:
        self.manager = manager
        self.timeout_seconds = timeout_seconds
        self.breaker = Breaker(self.ping) if use_breaker else None
        self.foreign_calls = Workers(MAXIMUM_FOREIGN_CALLS, "module-sdk-lookup")
        self.is_task_manager = isinstance(manager, TaskManager)
        # Rows that the base class built need no second look; an overridden lookup, or another class, does.
        self.trusted = frozenset(
            name for name in LOOKUPS if getattr(type(manager), name, None) is getattr(TaskManager, name)
        )

    def look_up(
        self, operation: str, argument: Any, organization_id: Any, limit: int | None, started: float
    ) -> LookupResult:
        """The manager's answer; raises whatever kept it from coming. The caller waits since `started` (monotonic)."""
        breaker = self.breaker
        if breaker is not None and breaker.is_open:
            breaker.refuse()
        try:
            rows = self.ask(operation, argument, organization_id, limit, started + self.timeout_seconds)
        except TaskBackendUnavailableError as error:
            if breaker is not None:
                breaker.failed(error)
            raise
        # Asked here, to save a call: there is hardly ever a failure to forget.
        if breaker is not None and breaker.failed_in_a_row:
            breaker.succeeded()
        return rows

    def ask(
        self, operation: str, argument: Any, organization_id: Any, limit: int | None, deadline: float
    ) -> LookupResult:
        trusted = operation in self.trusted
        if not trusted:
            argument, organization_id = checked_arguments(operation, argument, organization_id, limit)
        call = getattr(self.manager, operation)
        if self.is_bounded():
            rows = call(argument, organization_id, limit=limit, timeout_seconds=deadline - time.monotonic())
        else:
            ask_foreign = functools.partial(call, argument, organization_id, limit=limit)
            rows = self.call_with_deadline(ask_foreign, deadline - time.monotonic())
        # Queueing, loading the backend and connecting are part of the caller's wait; a late answer is a failure.
        if time.monotonic() > deadline:
            raise self.late()
        return rows if trusted else checked(rows)

    def is_bounded(self) -> bool:
        return self.is_task_manager and self.manager.capabilities.bounded

    def late(self) -> TaskBackendUnavailableError:
        return TaskBackendUnavailableError(f"no answer within {self.timeout_seconds:g} s")

    def call_with_deadline(self, call: Callable[[], Any], timeout_seconds: float) -> Any:
        """Run a manager that may hang on a thread that can be left behind; when too many hang, fail at once."""
        in_context = functools.partial(contextvars.copy_context().run, call)
        try:
            return self.foreign_calls.run(in_context, time.monotonic() + timeout_seconds, patient=False)
        except LateError:
            raise self.late() from None

    def ping(self, timeout_seconds: float) -> None:
        """Raise while the store is away. A manager that cannot be pinged is tried again by the next lookup."""
        ping = getattr(self.manager, "ping", None)
        if ping is None:
            return
        if self.is_bounded():
            ping(timeout_seconds=timeout_seconds)
        else:
            self.call_with_deadline(ping, timeout_seconds)

    def stop(self) -> None:
        if self.breaker is not None:
            self.breaker.stop()
        self.foreign_calls.close()


def checked_arguments(operation: str, argument: Any, organization_id: Any, limit: object) -> tuple[Any, Any]:
    """Refuse what `TaskManager` refuses, on behalf of a manager that may not, nor knows that a UUID is its text."""
    if operation == "list_user_tasks":
        text = identifier_text(argument, "user_id")
        argument = text if isinstance(argument, UUIDS) else argument
    else:
        plain_text(argument, "prefix" if operation == "get_tasks_by_key_prefix" else "task_key")
    organization = organization_text(organization_id)
    if limit is not None:
        check_count(limit, "limit", 0, MAXIMUM_OFFSET)
    return argument, organization if isinstance(organization_id, UUIDS) else organization_id


def checked(rows: object) -> LookupResult:
    """The answer of a foreign manager, if it is a list of rows (FAIL-04); raises `TaskBackendError` otherwise."""
    if not isinstance(rows, list):
        raise TaskBackendError(f"the task manager answered {type(rows).__name__}, not a list of rows")
    for row in rows:
        if not isinstance(row, dict) or not row.keys() >= ROW_KEYS:
            raise TaskBackendError("the task manager answered with something that is not a row")
    if isinstance(rows, LookupResult):
        if rows.error is not None:
            raise rows.error
        return rows
    return LookupResult(rows)
