"""Records as columns and values of statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from module_sdk.backends import TaskRecord
from module_sdk_sql.queries import COLUMNS, TIMES
from module_sdk_sql.schema import PAYLOAD_COLUMNS

RECORD_COLUMNS: Final = tuple(COLUMNS.values())
PAYLOAD_INDEXES: Final = tuple(RECORD_COLUMNS.index(name) for name in PAYLOAD_COLUMNS)


def column_values(record: TaskRecord) -> dict[str, Any]:
    return dict(zip(COLUMNS.values(), record, strict=True))


def present_values(record: TaskRecord) -> dict[str, Any]:
    return {name: value for name, value in zip(COLUMNS.values(), record, strict=True) if value is not None}


def with_times(record: TaskRecord, times: Sequence[int | None]) -> TaskRecord:
    """Return the record with these values of `TIMES`; the same object if it has them already."""
    named: dict[str, Any] = dict(zip(TIMES, times, strict=True))
    return record if all(getattr(record, name) == time for name, time in named.items()) else record._replace(**named)


def has_payloads(record: TaskRecord) -> bool:
    return any(record[index] is not None for index in PAYLOAD_INDEXES)
