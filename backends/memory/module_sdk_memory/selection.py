"""The read model's filters and order on records in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from module_sdk.backends import Condition, Sort, TaskRecord


def matches(record: TaskRecord, conditions: Iterable[Condition]) -> bool:
    """Whether the record meets every condition; an absent value meets only `any_of` with `None`."""
    for condition in conditions:
        value = getattr(record, condition.field)
        match condition.operator:
            case "any_of":
                met = value in condition.value
            case "contains":
                met = value is not None and condition.value in value
            case "at_least":
                met = value is not None and value >= condition.value
            case "below":
                met = value is not None and value < condition.value
        if not met:
            return False
    return True


def sort_key(record: TaskRecord, sort: Sort) -> tuple[bool, Any, str]:
    """Absent values first ascending. Python compares text by code points, which is the order of UTF-8 bytes."""
    value = getattr(record, sort.field)
    return (value is not None, value, record.id) if value is not None else (False, 0, record.id)
