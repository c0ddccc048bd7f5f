"""The lookups of one manager, with a deadline, a breaker and checks of the answer (clauses FAIL).

This module raises; `lookup_calls` turns each failure into an empty list whose `.error` is the exception.
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

# How many calls of an unbounded manager may run, or hang, at the same time.
MAXIMUM_UNBOUNDED_CALLS: Final = 16
ROW_KEYS: Final = frozenset(ROW_FIELDS)


class SafeLookups:
    """Lookups of one manager. They run in the caller's thread if the manager is `bounded`, otherwise on another.

    Answers that the `TaskManager` base class did not build are checked.
    """

    def __init__(self, manager: Any, *, timeout_seconds: float, use_breaker: bool) -> None:
        self.manager = manager
        self.timeout_seconds = timeout_seconds
        self.breaker = Breaker(self.ping) if use_breaker else None
        self.unbounded_calls = Workers(MAXIMUM_UNBOUNDED_CALLS, "module-sdk-lookup")
        self.is_task_manager = isinstance(manager, TaskManager)
        # The rows of an overridden lookup, or of another class, must be checked. Those of the base class need not be.
        self.trusted = frozenset(
            name for name in LOOKUPS if getattr(type(manager), name, None) is getattr(TaskManager, name)
        )

    def look_up(
        self, operation: str, argument: Any, organization_id: Any, limit: int | None, started: float
    ) -> LookupResult:
        """Return the manager's rows, or raise the failure. The timeout began at `started`, a `time.monotonic()`."""
        breaker = self.breaker
        if breaker is not None and breaker.is_open:
            breaker.refuse()
        try:
            rows = self.ask(operation, argument, organization_id, limit, started + self.timeout_seconds)
        except TaskBackendUnavailableError as error:
            if breaker is not None:
                breaker.failed(error)
            raise
        # Checked here to save the call of `succeeded`: there is hardly ever a failure to reset.
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
            call_manager = functools.partial(call, argument, organization_id, limit=limit)
            rows = self.call_with_deadline(call_manager, deadline - time.monotonic())
        # The timeout includes queueing, loading the backend and connecting. A late answer is a failure.
        if time.monotonic() > deadline:
            raise self.late()
        return rows if trusted else checked(rows)

    def is_bounded(self) -> bool:
        return self.is_task_manager and self.manager.capabilities.bounded

    def late(self) -> TaskBackendUnavailableError:
        return TaskBackendUnavailableError(f"no answer within {self.timeout_seconds:g} s")

    def call_with_deadline(self, call: Callable[[], Any], timeout_seconds: float) -> Any:
        """Call, on a detached worker, a manager that may hang. Fail at once if too many calls are hanging already."""
        in_context = functools.partial(contextvars.copy_context().run, call)
        try:
            return self.unbounded_calls.run(in_context, time.monotonic() + timeout_seconds, patient=False)
        except LateError:
            raise self.late() from None

    def ping(self, timeout_seconds: float) -> None:
        """Raise while the store is away. A manager without `ping` counts as available, so the next lookup tries it."""
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
        self.unbounded_calls.close()


def checked_arguments(operation: str, argument: Any, organization_id: Any, limit: object) -> tuple[Any, Any]:
    """Refuse the arguments that `TaskManager` refuses, and convert a UUID to its text.

    An injected manager may do neither itself.
    """
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
    """Return the answer of an injected manager if it is a list of rows; raise `TaskBackendError` if not (FAIL-04).

    If the answer is a `LookupResult` with an error, raise that error.
    """
    if not isinstance(rows, list):
        raise TaskBackendError(f"the task manager returned {type(rows).__name__}, not a list of rows")
    for row in rows:
        if not isinstance(row, dict) or not row.keys() >= ROW_KEYS:
            raise TaskBackendError("the task manager returned a list with an item that is not a row")
    if isinstance(rows, LookupResult):
        if rows.error is not None:
            raise rows.error
        return rows
    return LookupResult(rows)
