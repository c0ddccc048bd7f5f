"""Rows: what lookups and pages give to a caller (clauses ROW). The one place where speed outranks plainness."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from module_sdk.statuses import STATUSES
from module_sdk.text_rules import identifier_value
from module_sdk.timestamps import format_time

logger = logging.getLogger("module_sdk.tasks")

Row = dict[str, Any]
"""`id, module, label, status, progress, task_key, user_id, organization_id, created_at, updated_at`; plain JSON."""


class LookupResult(list[Row]):
    """The rows of a lookup, newest first.

    `error` is `None` for a real answer (an empty one too) and the exception for a failed one; `skipped` counts records
    that the store holds but nobody can read.
    """

    __slots__ = ("error", "skipped")

    def __init__(self, rows: Iterable[Row] = (), *, error: Exception | None = None, skipped: int = 0) -> None:
        super().__init__(rows)
        self.error = error
        self.skipped = skipped

    def __reduce__(self) -> tuple[Any, ...]:
        return (rebuild_result, (list(self), self.error, self.skipped))


def rebuild_result(rows: list[Row], error: Exception | None, skipped: int) -> LookupResult:
    return LookupResult(rows, error=error, skipped=skipped)


def row_from_stored(stored: Sequence[Any]) -> Row:
    """One row; raises `TypeError`, `ValueError` or `OverflowError` for a record that no version of this code wrote."""
    task_id, module, label, status, progress, task_key, user, organization, created_at, updated_at = stored
    if (
        status not in STATUSES
        or type(progress) is not float
        or not type(task_id) is type(module) is type(label) is type(user) is str
        or (task_key is not None and type(task_key) is not str)
    ):
        raise ValueError("a field has a value that no task can have")
    return {
        "id": task_id,
        "module": module,
        "label": label,
        "status": status,
        "progress": progress,
        "task_key": task_key,
        "user_id": identifier_value(user),
        "organization_id": identifier_value(organization) if organization else None,
        "created_at": format_time(created_at),
        "updated_at": format_time(updated_at),
    }


def rows_from_stored(stored_rows: Iterable[Sequence[Any] | None]) -> LookupResult:
    """All readable rows in the given order; `skipped` counts the others (FAIL-10).

    `None` stands for a record that the backend itself could not take apart.
    """
    result = LookupResult()
    add = result.append
    for stored in stored_rows:
        try:
            add(row_from_stored(stored))  # type: ignore[arg-type]  # None raises TypeError, which is what is wanted
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            result.skipped += 1
            name = stored[0] if stored and isinstance(stored[0], str) else "of unknown id"
            logger.error("skipped the unreadable task %s: %s", name, error)
    return result
