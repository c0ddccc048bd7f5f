"""The read model's filters and order on records in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from module_sdk.backends import Condition, Sort, TaskRecord


def matches(record: TaskRecord, conditions: Iterable[Condition]) -> bool:
    """Whether the record meets every condition."""
    return all(condition.matches(getattr(record, condition.field)) for condition in conditions)


def sort_key(record: TaskRecord, sort: Sort) -> tuple[bool, Any, str]:
    """Return the key by which `sorted` puts records in the order of a page."""
    return sort.key(getattr(record, sort.field), record.id)
