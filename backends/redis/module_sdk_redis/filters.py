"""Pages and counts.

An index serves pages in the default order, filters by id, and filters by user or key within organizations, for any
number of tasks. Every other filter or order reads the whole index of each organization, or of all tasks.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Final

from module_sdk.backends import ROW_FIELDS, Query, Sort, StoredRows
from module_sdk_redis.index_reads import Reader, Rows
from module_sdk_redis.queries import Lookups, joined
from module_sdk_redis.records import Row
from module_sdk_redis.schema import time_text

POSITIONS: Final = {field: position for position, field in enumerate(ROW_FIELDS)}
NEWEST_FIRST: Final = Sort("updated_at", descending=True)


class ReadModel:
    """Pages and counts. A task that changes during a read in several chunks may be missing, but never comes twice."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.lookups = Lookups(reader)

    def page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        if sort == NEWEST_FIRST and not query.conditions:
            return self.plain_page(query.organization, offset, limit, deadline)
        found = (row for rows in self.candidates(query, deadline) for row in rows if row and meets(row, query))
        if sort == NEWEST_FIRST and is_read_in_order(query):
            return list(itertools.islice(found, offset, offset + limit))
        choose = heapq.nlargest if sort.descending else heapq.nsmallest
        position = POSITIONS[sort.field]
        return choose(offset + limit, found, key=lambda row: sort.key(row[position], row[POSITIONS["id"]]))[offset:]

    def plain_page(self, organization: str | None, offset: int, limit: int, deadline: float) -> Rows:
        index = self.reader.layout.pages(organization)
        upper: str | bytes = "+"
        if offset:
            first = self.reader.router.read("ZRANGE", index, offset, offset, "REV", deadline=deadline)
            if not first:
                self.reader.require_schema(deadline)
                return []
            upper = b"[" + first[0]
        return joined(self.reader.rows(index, upper, "-", limit, deadline))

    def count(self, query: Query, deadline: float) -> int:
        if not query.conditions:
            return self.reader.size(self.reader.layout.pages(query.organization), deadline)
        return sum(1 for rows in self.candidates(query, deadline) for row in rows if row and meets(row, query))

    def candidates(self, query: Query, deadline: float) -> Iterator[Rows]:
        """Yield rows from the narrowest index that contains all matches of the query."""
        scopes, ids, users, keys = scopes_of(query), *(values_of(query, field) for field in NARROW_FIELDS)
        if ids is not None:
            yield self.reader.rows_of(ids, query.organization, deadline)
        elif scopes is not None and users is not None:
            for scope, user in itertools.product(scopes, users):
                yield self.lookups.by_user(scope, user, None, deadline)
        elif scopes is not None and keys is not None:
            for scope, key in itertools.product(scopes, keys):
                yield self.lookups.by_key(scope, key, None, deadline)
        else:
            upper, lower = bounds_of(query)
            for scope_or_all in scopes or (None,):
                yield from self.reader.rows(self.reader.layout.pages(scope_or_all), upper, lower, None, deadline)


NARROW_FIELDS: Final = ("id", "user_id", "task_key")


def meets(row: Row, query: Query) -> bool:
    return query.organization in (None, row[POSITIONS["organization_id"]]) and all(
        condition.matches(row[POSITIONS[condition.field]]) for condition in query.conditions
    )


def values_of(query: Query, field: str) -> list[str] | None:
    """Return the only values that the field may have, or `None` if it may have any other value or be absent."""
    for condition in query.conditions:
        if condition.field == field and condition.operator == "any_of" and None not in condition.value:
            return list(condition.value)
    return None


def scopes_of(query: Query) -> list[str] | None:
    """Return the organizations that may match the query, or `None` for all."""
    return values_of(query, "organization_id") if query.organization is None else [query.organization]


def is_read_in_order(query: Query) -> bool:
    """Return whether `candidates` reads a single index in the order of `updated_at`."""
    scopes = scopes_of(query)
    if values_of(query, "id") is not None or (scopes is not None and len(scopes) > 1):
        return False
    return scopes is None or (values_of(query, "user_id") is None and values_of(query, "task_key") is None)


def bounds_of(query: Query) -> tuple[str, str]:
    """Return the upper and lower bound that the conditions on `updated_at` set in an index of pages."""
    upper, lower = "+", "-"
    for condition in query.conditions:
        if condition.field == "updated_at":
            if condition.operator == "below":
                upper = f"({time_text(condition.value)}"
            else:
                lower = f"[{time_text(condition.value)}"
    return upper, lower
