"""`module_sdk.models.background_tasks`: pages, filters, counts and single tasks (clauses MODEL)."""

from __future__ import annotations

from typing import Final, NoReturn, cast

from module_sdk.domain.query import MAXIMUM_OFFSET, MAXIMUM_PAGE, check_count, parse_sort
from module_sdk.domain.shapes import AnyTaskId, TaskFilters, TaskPage, TaskSort, TaskView
from module_sdk.errors import InvalidInputError
from module_sdk.facade import async_calls
from module_sdk.facade.runtime import get_runtime
from module_sdk.facade.sessions import session_scope

READ_ONLY: Final = "background_tasks is read-only"


class BackgroundTasks:
    """The read-only view of tasks for monitoring screens, confined to the session's organization.

    Unlike the lookups, every call raises: `SessionRequiredError` if no session is bound, `ConfigurationError` if
    there is no manager, and `TaskBackendError` if the store fails.
    """

    def list(
        self,
        page: int = 0,
        page_size: int = 25,
        filters: TaskFilters | None = None,
        sort: TaskSort | None = None,
        after: str | None = None,
    ) -> TaskPage:
        """Return one page of rows, by default the most recently updated first.

        Example:
            page = background_tasks.list(filters={"status": ["failed", "interrupted"]}, sort="-created_at")
            for row in page["rows"]:
                print(row["label"], row["status"])

        Args:
            page: The number of the page, from 0.
            page_size: Rows per page, 1 to 1,000.
            filters: A task must pass all of them. A plain field name is an exact match, and a list matches any of its
                values. `__contains` and `__startswith` compare text, `__gte` and `__lt` compare times.
            sort: A field of a row such as `"label"`, descending as `"-label"`, or
                `{"field": "label", "direction": "asc"}`. Ties are broken by id, in the same direction.
            after: Reserved; must be `None`.

        Returns:
            A `dict` of `rows, total_rows, page, page_size, filters, sort, next`.

        Raises:
            InvalidInputError: A filter or the sort field is unknown, or an argument is out of range.
            SessionRequiredError: No session is bound.
            ConfigurationError: There is no manager.
            TaskBackendError: The store failed.
        """
        scope = session_scope()
        check_count(page_size, "page_size", 1, MAXIMUM_PAGE)
        check_count(page, "page", 0, MAXIMUM_OFFSET // MAXIMUM_PAGE)
        if after is not None:
            raise InvalidInputError("after must be None: cursors are not supported yet", field="after")
        order = parse_sort(sort)
        manager = get_runtime().manager()
        rows = manager.page(filters=filters, sort=sort, offset=page * page_size, limit=page_size, organization_id=scope)
        return {
            "rows": rows,
            "total_rows": manager.count(filters=filters, organization_id=scope),
            "page": page,
            "page_size": page_size,
            "filters": cast("TaskFilters", dict(filters or {})),
            "sort": {"field": order.field, "direction": "desc" if order.descending else "asc"},
            "next": None,
        }

    async def alist(
        self,
        page: int = 0,
        page_size: int = 25,
        filters: TaskFilters | None = None,
        sort: TaskSort | None = None,
        after: str | None = None,
    ) -> TaskPage:
        """Do what `list` does, without blocking the event loop. Args, returns and raises are the same."""
        return await async_calls.in_thread(self.list, page, page_size, filters, sort, after)

    def count(self, filters: TaskFilters | None = None) -> int:
        """Return the number of tasks that pass every filter.

        Args:
            filters: As for `list`. `None` counts all tasks of the session's organization.

        Raises:
            InvalidInputError: A filter is unknown.
            SessionRequiredError: No session is bound.
            ConfigurationError: There is no manager.
            TaskBackendError: The store failed.
        """
        scope = session_scope()
        return get_runtime().manager().count(filters=filters, organization_id=scope)

    async def acount(self, filters: TaskFilters | None = None) -> int:
        """Do what `count` does, without blocking the event loop. Args and raises are the same."""
        return await async_calls.in_thread(self.count, filters)

    def view(self, task_id: AnyTaskId) -> TaskView | None:
        """Return one task with every field that is meant for people.

        Args:
            task_id: The task's id.

        Returns:
            A row with `checkpoint, result, error, started_at, finished_at, confirmation` added, or `None` if the
            session's organization has no such task.

        Raises:
            SessionRequiredError: No session is bound.
            ConfigurationError: There is no manager.
            TaskBackendError: The store failed.
        """
        scope = session_scope()
        task = get_runtime().manager().get(task_id, organization_id=scope)
        return None if task is None else task.to_view()

    async def aview(self, task_id: AnyTaskId) -> TaskView | None:
        """Do what `view` does, without blocking the event loop. Args, returns and raises are the same."""
        return await async_calls.in_thread(self.view, task_id)

    def create(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise `NotImplementedError`: running work creates tasks (MODEL-11)."""
        raise NotImplementedError(READ_ONLY)

    def update(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise `NotImplementedError`: only the work of a task changes it (MODEL-11)."""
        raise NotImplementedError(READ_ONLY)

    def delete(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise `NotImplementedError`: `module-sdk tasks prune` removes old tasks (MODEL-11)."""
        raise NotImplementedError(READ_ONLY)
