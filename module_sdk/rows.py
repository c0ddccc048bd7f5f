"""Rows: what lookups and pages give to a caller (clauses ROW). The one place where speed outranks plainness."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from module_sdk.statuses import STATUSES
from module_sdk.text_rules import identifiers
from module_sdk.timestamps import FRACTION, days, seconds

logger = logging.getLogger("module_sdk.tasks")
CHUNK: Final = 5_000

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
    rows: list[Row] = []
    build_rows(iter((stored,)), rows.append)
    return rows[0]


def rows_from_stored(stored_rows: Sequence[Sequence[Any] | None]) -> LookupResult:
    """All readable rows in the given order; `skipped` counts the others (FAIL-10).

    `None` stands for a record that the backend itself could not take apart. A long list is emptied on the way, so that
    the answer never lies in memory twice.
    """
    result = LookupResult()
    if isinstance(stored_rows, list) and len(stored_rows) > CHUNK:
        for start in range(0, len(stored_rows), CHUNK):
            chunk = stored_rows[start : start + CHUNK]
            stored_rows[start : start + CHUNK] = [None] * len(chunk)
            add_rows(chunk, result)
    else:
        add_rows(stored_rows, result)
    return result


def add_rows(stored_rows: Sequence[Sequence[Any] | None], result: LookupResult) -> None:
    earlier = len(result) + result.skipped
    remaining = iter(stored_rows)
    while True:
        try:
            return build_rows(remaining, result.append)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            stored = stored_rows[len(result) + result.skipped - earlier]
            result.skipped += 1
            name = stored[0] if stored and isinstance(stored[0], str) else "of unknown id"
            logger.error("skipped the unreadable task %s: %s", name, error)


def build_rows(remaining: Iterator[Any], add: Callable[[Row], object]) -> None:
    """Add one row for each record; raises at one that is unreadable, which has been taken from `remaining`.

    Nothing is called for a row but what is in C: a call of Python for each time and id takes longer than all the rest.
    """
    for task_id, module, label, status, progress, task_key, user, organization, created_at, updated_at in remaining:
        if (
            status not in STATUSES
            or progress.__class__ is not float
            or not task_id.__class__ is module.__class__ is label.__class__ is user.__class__ is str
            or (task_key is not None and task_key.__class__ is not str)
            # Only integers have this operation; floats would get through all that follows.
            or created_at | updated_at is None
        ):
            raise ValueError("a field has a value that no task can have")
        created, updated = created_at // 1_000_000, updated_at // 1_000_000
        add(
            {
                "id": task_id,
                "module": module,
                "label": label,
                "status": status,
                "progress": progress,
                "task_key": task_key,
                "user_id": identifiers[user],
                "organization_id": identifiers[organization] if organization else None,
                # As in `format_time`, and a tenth faster.
                "created_at": days[created // 86_400] + seconds[created % 86_400] + FRACTION % (created_at % 1_000_000),
                "updated_at": days[updated // 86_400] + seconds[updated % 86_400] + FRACTION % (updated_at % 1_000_000),
            }
        )
