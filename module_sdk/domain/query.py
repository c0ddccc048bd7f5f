"""Turns the filters and sorting of the read model into the form that stores execute (clauses MODEL)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, cast

from module_sdk.domain.record import ROW_FIELDS
from module_sdk.domain.shapes import RowField, TaskFilters, TaskSort
from module_sdk.domain.text_rules import (
    MAXIMUM_IDENTIFIER_BYTES,
    MAXIMUM_KEY_BYTES,
    fits,
    identifier_text,
    plain_text,
    prefix_end,
    task_id_text,
)
from module_sdk.domain.timestamps import parse_time
from module_sdk.errors import InvalidInputError

TEXT_FIELDS: Final = ("id", "module", "label", "status", "task_key", "user_id", "organization_id")
IDENTIFIER_FIELDS: Final = ("user_id", "organization_id")
TIME_FIELDS: Final = ("created_at", "updated_at")
TIME_OPERATORS: Final[dict[str, Operator]] = {"gte": "at_least", "lt": "below"}
MAXIMUM_OFFSET: Final = 2**62
MAXIMUM_PAGE: Final = 1_000
# Every id is at or above this, since no id contains NUL. The empty text, which means "no organization", is below.
SMALLEST_IDENTIFIER: Final = "\x01"

Operator = Literal["any_of", "contains", "at_least", "below"]


class Condition(NamedTuple):
    """One comparison of a stored field. Text is compared by bytes. Absent values match only `any_of` with `None`."""

    field: str
    operator: Operator
    value: Any
    """One stored value, or for `any_of` a non-empty tuple of them, in which `None` selects tasks without a value."""

    def matches(self, stored: Any) -> bool:
        """Return whether a stored value of the field matches. For stores that filter in Python."""
        if self.operator == "any_of":
            return stored in self.value
        if stored is None:
            return False
        if self.operator == "contains":
            return self.value in stored
        return bool(stored >= self.value if self.operator == "at_least" else stored < self.value)


class Sort(NamedTuple):
    """A total order. Absent values come first if it is ascending. Ties are broken by id in the same direction."""

    field: RowField
    descending: bool

    def key(self, stored: Any, task_id: str) -> tuple[bool, Any, str]:
        """Return the ascending sort key of a task with that value in the field. For stores that sort in Python.

        Python compares text by code points, which is the order of UTF-8 bytes. A value that no task can have counts as
        absent. NaN, for example, cannot be ordered and would disturb the order of the other tasks.
        """
        if isinstance(stored, str if self.field in TEXT_FIELDS else int | float) and not is_nan(stored):
            return (True, stored, task_id)
        return (False, 0, task_id)


def is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """The selection of a page or a count. `organization` is a stored scope, or `None` for every organization."""

    organization: str | None
    conditions: tuple[Condition, ...]
    impossible: bool = False
    """A filter matches no task that can exist, so the store need not be asked."""


DEFAULT_SORT: Final = Sort("updated_at", descending=True)


def parse_query(filters: TaskFilters | None, organization: str | None) -> Query:
    """Return the query. Raise `InvalidInputError` (a `ValueError`) for an unknown filter or a value of a wrong type."""
    if filters is not None and not isinstance(filters, Mapping):
        raise InvalidInputError("filters must be a mapping", field="filters")
    conditions: list[Condition] = []
    possible = True
    for name, value in (filters or {}).items():
        found = parse_filter(name, value)
        possible = possible and found is not None
        conditions.extend(found or ())
    return Query(organization, tuple(conditions), impossible=not possible)


def parse_filter(name: object, value: Any) -> list[Condition] | None:
    """Return the conditions of one filter, or `None` if no task that can exist matches it."""
    field, _, suffix = name.partition("__") if isinstance(name, str) else ("", "", "")
    if name in TEXT_FIELDS:
        values = any_of(field, value)
        return [Condition(field, "any_of", values)] if values else None
    if field in TEXT_FIELDS and suffix in ("contains", "startswith"):
        return parse_text_filter(field, suffix, plain_text(value, str(name)))
    if field in TIME_FIELDS and suffix in TIME_OPERATORS:
        return [Condition(field, TIME_OPERATORS[suffix], parse_time(value, str(name)))]
    raise InvalidInputError(f"{name!r} is not a filter", field="filters")


def parse_text_filter(field: str, suffix: str, text: str) -> list[Condition] | None:
    if not fits(text, MAXIMUM_KEY_BYTES):
        return None
    present = [Condition(field, "at_least", SMALLEST_IDENTIFIER)] if field in IDENTIFIER_FIELDS else []
    if suffix == "contains":
        return [*present, Condition(field, "contains", text)]
    end = prefix_end(text)
    below = [] if end is None else [Condition(field, "below", end)]
    return [*present, Condition(field, "at_least", text), *below]


def any_of(field: str, value: Any) -> tuple[str | None, ...]:
    """Return the stored values that an exact filter accepts, without values that no task can have."""
    values = value if isinstance(value, list | tuple | set | frozenset) else [value]
    accepted: dict[str | None, None] = {}
    for item in values:
        if item is None:
            if field in ("task_key", "organization_id"):
                accepted["" if field == "organization_id" else None] = None
        elif field in IDENTIFIER_FIELDS:
            text = identifier_text(item, field)
            if fits(text, MAXIMUM_IDENTIFIER_BYTES):
                accepted[text] = None
        else:
            text = task_id_text(item, field) if field == "id" else plain_text(item, field)
            if fits(text, MAXIMUM_KEY_BYTES):
                accepted[text] = None
    return tuple(accepted)


def parse_sort(sort: TaskSort | None) -> Sort:
    """Return the order for `{"field": …, "direction": "asc"|"desc"}`, `"-updated_at"`, `"label"` or `None`."""
    if sort is None:
        return DEFAULT_SORT
    if isinstance(sort, Mapping):
        field, direction = sort.get("field"), sort.get("direction", "asc")
        if set(sort) - {"field", "direction"} or direction not in ("asc", "desc"):
            raise InvalidInputError('sort must be {"field": …, "direction": "asc" or "desc"}', field="sort")
        return Sort(known_field(field), descending=direction == "desc")
    text = plain_text(sort, "sort")
    return Sort(known_field(text.removeprefix("-")), descending=text.startswith("-"))


def known_field(field: object) -> RowField:
    if not isinstance(field, str) or field not in ROW_FIELDS:
        raise InvalidInputError(f"{field!r} is not a field to sort by", field="sort")
    return cast("RowField", field)


def check_count(value: object, field: str, minimum: int, maximum: int) -> int:
    """Return the value if it is an integer within the bounds and not a `bool`, otherwise raise `InvalidInputError`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInputError(f"{field} must be an integer, not {type(value).__name__}", field=field)
    if not minimum <= value <= maximum:
        raise InvalidInputError(f"{field} must be between {minimum:,} and {maximum:,}", field=field, maximum=maximum)
    return value
