"""The rows that lookups and pages return (clauses ROW). In this module alone, speed outranks simplicity."""

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
# If module, label and key together are within the smallest of their maximums, none needs a separate check.
ORDINARY_BYTES: Final = MAXIMUM_MODULE_BYTES
# Above True and False, which are integers in Python.
FIRST_ORDINARY: Final = 2

UNREADABLE: Final = (TypeError, ValueError, OverflowError, AttributeError)
"""The exceptions that building a row may raise if no version of this code wrote the record."""


class LookupResult(list[TaskRow]):
    """The rows of a lookup, newest first.

    `error` is the exception of a failed lookup and `None` for a real answer, even an empty one. `skipped` is the number
    of records in the store that could not be read.
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
    """Return one row. Raise one of `UNREADABLE` for a record that no version of this code wrote."""
    rows: list[TaskRow] = []
    build_rows(iter((stored,)), rows.append)
    return rows[0]


def rows_from_stored(stored_rows: Sequence[Sequence[Any] | None]) -> LookupResult:
    """Return all readable rows in the given order. `skipped` is the number of the others (FAIL-10).

    `None` means a record that the backend itself could not decode. A long list is emptied chunk by chunk, so that
    memory never contains the whole answer twice.
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
    """Add one row per record. Raise at an unreadable record, which is then already consumed from `remaining`.

    An ordinary row calls only functions written in C: a Python call per time and id takes longer than all the rest.
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
            # Raises TypeError unless both are integers.
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
                # `format_time`, inlined.
                "created_at": f"{days[created // 86_400_000]}{seconds[created // 1_000 % 86_400]}"
                f"{MILLISECONDS[created % 1_000]}{MICROSECONDS[created_at % 1_000]}",
                "updated_at": f"{days[updated // 86_400_000]}{seconds[updated // 1_000 % 86_400]}"
                f"{MILLISECONDS[updated % 1_000]}{MICROSECONDS[updated_at % 1_000]}",
            }
        )


def check_stored(fields: Sequence[Any]) -> None:
    """Raise `ValueError` for a value that no task can have. Only for rows that the fast check does not accept."""
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
        # Subclasses of int, as some drivers return them, are accepted.
        check_time(int(time) if isinstance(time, int) and not isinstance(time, bool) else time, field)
    if updated_at < created_at:
        raise ValueError("updated_at must not be before created_at")
