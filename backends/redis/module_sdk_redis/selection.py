"""The read model's filters and order on rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from module_sdk.backends import ROW_FIELDS, Condition, Sort
from module_sdk_redis.packing import Row

PLACES = {field: place for place, field in enumerate(ROW_FIELDS)}


def matches(row: Row, conditions: Iterable[Condition]) -> bool:
    """Whether the row meets every condition; an absent value meets only `any_of` with `None`."""
    for condition in conditions:
        value = row[PLACES[condition.field]]
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


def sort_key(row: Row, sort: Sort) -> tuple[bool, Any, str]:
    """Absent values first ascending. Python compares text by code points, which is the order of UTF-8 bytes."""
    value = row[PLACES[sort.field]]
    return (value is not None, value, row[PLACES["id"]]) if value is not None else (False, 0, row[PLACES["id"]])
