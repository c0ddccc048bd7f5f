"""Rows: what lookups and pages give to a caller (clauses ROW). The one place where speed outranks plainness."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from module_sdk.domain.shapes import TaskRow
from module_sdk.domain.statuses import STATUSES
from module_sdk.domain.text_rules import (
    MAXIMUM_KEY_BYTES,
    MAXIMUM_LABEL_BYTES,
    MAXIMUM_MODULE_BYTES,
    TASK_ID_SHAPE,
    TASK_ID_TABLE,
    check_text,
    identifiers,
    is_task_id,
    organizations,
)
from module_sdk.domain.timestamps import LAST, MICROSECONDS, MILLISECONDS, check_time, days, seconds

logger = logging.getLogger("module_sdk.tasks")
CHUNK: Final = 5_000
# What needs no second look: module, label and key together within the maximum of the shortest.
ORDINARY_BYTES: Final = MAXIMUM_MODULE_BYTES
# Above true and false, which are integers to Python.
FIRST_ORDINARY: Final = 2

UNREADABLE: Final = (TypeError, ValueError, OverflowError, AttributeError)
"""What is raised at a record that no version of this code wrote, whatever its fields hold."""


class LookupResult(list[TaskRow]):
    """The rows of a lookup, newest first.

    `error` is `None` for a real answer (an empty one too) and the exception for a failed one; `skipped` counts records
    that the store holds but nobody can read.
    """

    __slots__ = ("error", "skipped")

    def __init__(self, rows: Iterable[TaskRow] = (), *, error: Exception | None = None, skipped: int = 0) -> None:
        super().__init__(rows)
        self.error: Exception | None = error
        self.skipped: int = skipped

    def __reduce__(self) -> tuple[Any, ...]:
        return (rebuild_result, (list(self), self.error, self.skipped))


def rebuild_result(rows: list[TaskRow], error: Exception | None, skipped: int) -> LookupResult:
    return LookupResult(rows, error=error, skipped=skipped)


def row_from_stored(stored: Sequence[Any]) -> TaskRow:
    """One row; raises one of `UNREADABLE` for a record that no version of this code wrote."""
    rows: list[TaskRow] = []
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
        except UNREADABLE as error:
            stored = stored_rows[len(result) + result.skipped - earlier]
            result.skipped += 1
            name = stored[0] if stored and isinstance(stored[0], str) else "of unknown id"
            logger.error("skipped the unreadable task %s: %s", name, error)


def build_rows(remaining: Iterator[Any], add: Callable[[TaskRow], object]) -> None:
    """Add one row for each record; raises at one that is unreadable, which has been taken from `remaining`.

    Nothing is called for an ordinary row but what is in C: a call of Python for each time and id takes longer than all
    the rest.
    """
    for task_id, module, label, status, progress, task_key, user, organization, created_at, updated_at in remaining:
        text = f"{module}{label}{task_key}"
        if not (
            # A lone surrogate raises ValueError.
            len(text.encode()) <= ORDINARY_BYTES
            and "\0" not in text
            and task_id.__class__ is module.__class__ is label.__class__ is str
            and (task_key is None or (task_key and task_key.__class__ is str))
            and module
            and task_id.encode().translate(TASK_ID_TABLE) == TASK_ID_SHAPE
            and status in STATUSES
            and progress.__class__ is float
            and 0.0 <= progress <= 1.0
            and FIRST_ORDINARY <= created_at <= updated_at <= LAST
            # Only integers have this operation.
            and created_at | updated_at
        ):
            check_stored((task_id, module, label, status, progress, task_key, created_at, updated_at))
        created, updated = created_at // 1_000, updated_at // 1_000
        add(
            {
                "id": task_id,
                "module": module,
                "label": label,
                "status": status,
                "progress": progress,
                "task_key": task_key,
                "user_id": identifiers[user],
                "organization_id": organizations[organization],
                # As in `format_time`, without the call.
                "created_at": f"{days[created // 86_400_000]}{seconds[created // 1_000 % 86_400]}"
                f"{MILLISECONDS[created % 1_000]}{MICROSECONDS[created_at % 1_000]}",
                "updated_at": f"{days[updated // 86_400_000]}{seconds[updated // 1_000 % 86_400]}"
                f"{MILLISECONDS[updated % 1_000]}{MICROSECONDS[updated_at % 1_000]}",
            }
        )


def check_stored(fields: Sequence[Any]) -> None:
    """Raise `ValueError` for what no task has, by the rules of `Task`; for rows that are out of the ordinary."""
    task_id, module, label, status, progress, task_key, created_at, updated_at = fields
    texts = [(module, "module", MAXIMUM_MODULE_BYTES, 1), (label, "label", MAXIMUM_LABEL_BYTES, 0)]
    if task_key is not None:
        texts.append((task_key, "task_key", MAXIMUM_KEY_BYTES, 1))
    for text, field, maximum, minimum in texts:
        if type(text) is not str:
            raise ValueError(f"{field} must be text, not {type(text).__name__}")
        check_text(text, field, maximum, minimum=minimum)
    if type(task_id) is not str or not is_task_id(task_id):
        raise ValueError("id must be a UUID in canonical lower-case form")
    if type(status) is not str or status not in STATUSES:
        raise ValueError(f"{status!a:.80} is not a status")
    if type(progress) is not float or not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must be a number between 0 and 1, not {progress!a:.80}")
    for time, field in ((created_at, "created_at"), (updated_at, "updated_at")):
        # A driver's own integers are good enough here.
        check_time(int(time) if isinstance(time, int) and not isinstance(time, bool) else time, field)
    if updated_at < created_at:
        raise ValueError("updated_at must not be before created_at")
