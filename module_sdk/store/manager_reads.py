"""The methods of `TaskManager` that read, the same for all stores."""

from __future__ import annotations

from collections.abc import Callable

from module_sdk.domain.query import MAXIMUM_OFFSET, MAXIMUM_PAGE, check_count, parse_query, parse_sort
from module_sdk.domain.rows import LookupResult, rows_from_stored
from module_sdk.domain.scopes import optional_scope, organization_text, scope_is_possible
from module_sdk.domain.sentinels import ANY, Anything
from module_sdk.domain.shapes import LOOKUPS, AnyTaskId, Identifier, LookupName, TaskFilters, TaskSort
from module_sdk.domain.task import Task
from module_sdk.domain.text_rules import (
    MAXIMUM_IDENTIFIER_BYTES,
    MAXIMUM_KEY_BYTES,
    fits,
    identifier_text,
    is_task_id,
    plain_text,
    prefix_end,
    task_id_text,
)
from module_sdk.errors import CapabilityError, InvalidInputError
from module_sdk.store.diagnostics import Explanation
from module_sdk.store.primitives import StoredRows
from module_sdk.store.store_calls import StoreCalls


class ManagerReads(StoreCalls):
    """The methods that read. `TaskManager` documents what all its methods have in common."""

    # --- Reads ------------------------------------------------------------------------------------------------------

    def get(
        self,
        task_id: AnyTaskId,
        *,
        organization_id: Identifier | Anything | None = ANY,
        timeout_seconds: float | None = None,
    ) -> Task | None:
        """Return one whole task.

        Args:
            task_id: The task's id.
            organization_id: Only a task of exactly this organization. `ANY`, the default, means every organization.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The task, or `None` if the organization has no task with that id.

        Raises:
            TaskBackendError: The store failed, or the stored task cannot be read.
        """
        scope = optional_scope(organization_id)
        # The id must be an exact `str`, since drivers may not know other types of ids.
        task_id = task_id_text(task_id)
        if not is_task_id(task_id) or not scope_is_possible(scope):
            return None
        record = self.call_open(self.store_get, task_id, scope, self.deadline(timeout_seconds))
        return None if record is None else Task.from_record(record)

    def list_user_tasks(
        self,
        user_id: Identifier,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """Return the tasks of one user in one organization (USER, SCOPE, ORDER).

        Args:
            user_id: An integer, text or a UUID.
            organization_id: Exactly this organization. `None` means the tasks that belong to no organization.
            limit: The maximum number of rows; the newest are returned. `None` means all of them.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The rows, newest `created_at` first, ties by id. `.skipped` is the number of records that cannot be read.

        Raises:
            InvalidInputError: An argument has a wrong type.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        user, organization = identifier_text(user_id, "user_id"), organization_text(organization_id)
        if not fits(user, MAXIMUM_IDENTIFIER_BYTES):
            return self.nothing(organization, limit)
        return self.find(self.store_find_by_user, (organization, user), limit, timeout_seconds)

    def get_tasks_by_key(
        self,
        task_key: str,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """Return the tasks, active and ended, whose key is exactly this (KEY, SCOPE, ORDER).

        Args:
            task_key: Compared by its bytes. No task has the empty key.
            organization_id: Exactly this organization. `None` means the tasks that belong to no organization.
            limit: The maximum number of rows; the newest are returned. `None` means all of them.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The rows, newest `created_at` first, ties by id. `.skipped` is the number of records that cannot be read.

        Raises:
            InvalidInputError: An argument has a wrong type.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        key, organization = plain_text(task_key, "task_key"), organization_text(organization_id)
        if not key or not fits(key, MAXIMUM_KEY_BYTES):
            return self.nothing(organization, limit)
        return self.find(self.store_find_by_key, (organization, key), limit, timeout_seconds)

    def get_tasks_by_key_prefix(
        self,
        prefix: str,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """Return the tasks whose key starts with this text (PREFIX, SCOPE, ORDER).

        Args:
            prefix: Compared by its bytes. `""` matches every task with a key.
            organization_id: Exactly this organization. `None` means the tasks that belong to no organization.
            limit: The maximum number of rows; the newest are returned. `None` means all of them.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The rows, newest `created_at` first, ties by id. `.skipped` is the number of records that cannot be read.

        Raises:
            InvalidInputError: An argument has a wrong type.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        start, organization = plain_text(prefix, "prefix"), organization_text(organization_id)
        if not fits(start, MAXIMUM_KEY_BYTES):
            return self.nothing(organization, limit)
        return self.find(self.store_find_by_prefix, (organization, start, prefix_end(start)), limit, timeout_seconds)

    def page(
        self,
        *,
        filters: TaskFilters | None = None,
        sort: TaskSort | None = None,
        offset: int = 0,
        limit: int = 25,
        organization_id: Identifier | Anything | None = ANY,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """Return rows that pass every filter, in a total order (MODEL-01 to 09).

        Args:
            filters: A task must pass all of them.
            sort: `"label"`, `"-updated_at"`, or `{"field": "label", "direction": "asc"}`; default: `"-updated_at"`.
            offset: The number of rows to skip.
            limit: The maximum number of rows, 1 to 1,000.
            organization_id: Only tasks of exactly this organization. `ANY`, the default, means every organization.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            InvalidInputError: A filter or the field to sort by is unknown, or an argument is out of its bounds.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        query, order = parse_query(filters, optional_scope(organization_id)), parse_sort(sort)
        check_count(offset, "offset", 0, MAXIMUM_OFFSET)
        check_count(limit, "limit", 1, MAXIMUM_PAGE)
        if query.impossible or not scope_is_possible(query.organization):
            return LookupResult()
        return rows_from_stored(
            self.call_open(self.store_page, query, order, offset, limit, self.deadline(timeout_seconds))
        )

    def count(
        self,
        *,
        filters: TaskFilters | None = None,
        organization_id: Identifier | Anything | None = ANY,
        timeout_seconds: float | None = None,
    ) -> int:
        """Return the number of tasks that pass every filter (MODEL-07).

        Args:
            filters: As for `page`.
            organization_id: Only tasks of exactly this organization. `ANY`, the default, means every organization.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            InvalidInputError: A filter is unknown.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        query = parse_query(filters, optional_scope(organization_id))
        if query.impossible or not scope_is_possible(query.organization):
            return 0
        return self.call_open(self.store_count, query, self.deadline(timeout_seconds))

    def explain(
        self,
        operation: LookupName,
        argument: Identifier,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Explanation:
        """Return how the store serves a lookup (PREFIX-11, ROW-09).

        Args:
            operation: The name of the lookup.
            argument: Its first argument: a user's id, a key or a prefix.
            organization_id: As for the lookup.
            limit: As for the lookup.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            CapabilityError: The manager does not declare `explain`.
            InvalidInputError: An argument has a wrong type.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        if not self.capabilities.explain:
            raise CapabilityError(f"{type(self).__name__} does not declare the capability 'explain'")
        if operation not in LOOKUPS:
            raise InvalidInputError(f"operation must be one of {', '.join(LOOKUPS)}", field="operation")
        organization = organization_text(organization_id)
        if operation == "list_user_tasks":
            arguments: tuple[str | None, ...] = (organization, identifier_text(argument, "user_id"))
        else:
            text = plain_text(argument, "argument")
            arguments = (organization, text)
            if operation == "get_tasks_by_key_prefix":
                arguments = (organization, text, prefix_end(text))
        return self.call_open(self.store_explain, operation, arguments, limit, self.deadline(timeout_seconds))

    # --- Shared machinery -------------------------------------------------------------------------------------------

    def find(
        self,
        primitive: Callable[..., StoredRows],
        arguments: tuple[str | None, ...],
        limit: int | None,
        timeout_seconds: float | None,
    ) -> LookupResult:
        """Return the rows of a find. If unreadable records use up the limit, find again with a larger one (FAIL-10)."""
        if limit is not None:
            check_count(limit, "limit", 0, MAXIMUM_OFFSET)
        if limit == 0 or not fits(arguments[0] or "", MAXIMUM_IDENTIFIER_BYTES):
            return self.nothing(arguments[0] or "", limit)
        deadline = self.deadline(timeout_seconds)
        wanted = limit
        while True:
            stored = self.call_open(primitive, *arguments, wanted, deadline)
            rows = rows_from_stored(stored)
            if limit is None or wanted is None or not rows.skipped or len(stored) < wanted or len(rows) >= limit:
                return LookupResult(rows[:limit], skipped=rows.skipped) if rows.skipped else rows
            wanted = 2 * wanted + rows.skipped

    def nothing(self, organization: str, limit: int | None) -> LookupResult:
        """Return the empty answer to a question that no task can match. A wrong `limit` is still refused."""
        if limit is not None:
            check_count(limit, "limit", 0, MAXIMUM_OFFSET)
        return LookupResult()
