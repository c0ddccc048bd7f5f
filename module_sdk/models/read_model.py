"""`module_sdk.models.background_tasks`: pages, filters, counts and single tasks (clauses MODEL)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from module_sdk import aio
from module_sdk.errors import InvalidInputError
from module_sdk.manager import MAXIMUM_PAGE
from module_sdk.query import MAXIMUM_OFFSET, check_count, parse_sort
from module_sdk.rows import Row
from module_sdk.runtime import get_runtime
from module_sdk.sessions import session_scope

READ_ONLY: Final = "background_tasks is read-only"


class BackgroundTasks:
    """Confined to the session's organization; unlike the lookups it raises `TaskBackendError` when the store fails.

    Every call raises `SessionRequiredError` with no session bound, and `ConfigurationError` with no manager.
    """

    def list(
        self,
        page: int = 0,
        page_size: int = 25,
        filters: Mapping[str, Any] | None = None,
        sort: object = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """`{"rows", "total_rows", "page", "page_size", "filters", "sort", "next"}`, newest `updated_at` first.

        `filters` and `sort` are described in docs/reference.md. `next` is `None`, and `after` is refused, until keyset
        cursors exist (MODEL-13). Raises `InvalidInputError` (a `ValueError`) for an unknown filter or sort field.
        """
        scope = session_scope()
        check_count(page_size, "page_size", 1, MAXIMUM_PAGE)
        check_count(page, "page", 0, MAXIMUM_OFFSET // MAXIMUM_PAGE)
        if after is not None:
            raise InvalidInputError("after must be None: cursors are not handed out yet", field="after")
        order = parse_sort(sort)
        manager = get_runtime().manager()
        rows = manager.page(filters=filters, sort=sort, offset=page * page_size, limit=page_size, organization_id=scope)
        return {
            "rows": rows,
            "total_rows": manager.count(filters=filters, organization_id=scope),
            "page": page,
            "page_size": page_size,
            "filters": dict(filters or {}),
            "sort": {"field": order.field, "direction": "desc" if order.descending else "asc"},
            "next": None,
        }

    def count(self, filters: Mapping[str, Any] | None = None) -> int:
        """How many tasks pass every filter; equals `total_rows` (MODEL-07)."""
        scope = session_scope()
        return get_runtime().manager().count(filters=filters, organization_id=scope)

    def view(self, task_id: str) -> Row | None:
        """The row plus `checkpoint, result, error, started_at, finished_at, confirmation`; `None` if unknown."""
        scope = session_scope()
        task = get_runtime().manager().get(task_id, organization_id=scope)
        return None if task is None else task.to_view()

    def create(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `NotImplementedError`: tasks are created by running work (MODEL-11)."""
        raise NotImplementedError(READ_ONLY)

    def update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `NotImplementedError` (MODEL-11)."""
        raise NotImplementedError(READ_ONLY)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `NotImplementedError`: `module-sdk tasks prune` removes old tasks (MODEL-11)."""
        raise NotImplementedError(READ_ONLY)

    alist = aio.twin(list)  # noqa: A003  # the method of that name, which is the contract's
    acount = aio.twin(count)
    aview = aio.twin(view)
