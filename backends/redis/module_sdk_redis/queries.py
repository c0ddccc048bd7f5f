"""The three lookups."""

from __future__ import annotations

from collections.abc import Iterable

from module_sdk.backends import ROW_FIELDS
from module_sdk_redis.index_reads import Reader, Rows
from module_sdk_redis.records import Row

ID, CREATED_AT = ROW_FIELDS.index("id"), ROW_FIELDS.index("created_at")


class Lookups:
    """The three lookups. Each takes one round trip for up to a thousand rows, and one more per further thousand."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> Rows:
        index = self.reader.layout.by_user(organization, user)
        return joined(self.reader.rows(index, "+", "-", limit, deadline))

    def by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> Rows:
        index = self.reader.layout.by_key(organization)
        # In an entry, NUL follows the key; no key contains it.
        return joined(self.reader.rows(index, f"({key}\x01", f"[{key}\0", limit, deadline))

    def by_prefix(self, organization: str, start: str, end: str | None, limit: int | None, deadline: float) -> Rows:
        """Return the rows of a range of keys.

        With a limit, this reads all entries of the range, five thousand per round trip, then the newest records.
        """
        index = self.reader.layout.by_key(organization)
        upper, lower = "+" if end is None else f"({end}", f"[{start}"
        if limit is not None:
            return self.reader.newest_of_keys(index, upper, lower, limit, deadline)
        rows = joined(self.reader.rows(index, upper, lower, None, deadline))
        return sorted(rows, key=moment, reverse=True)


def joined(chunks: Iterable[Rows]) -> Rows:
    rows: Rows = []
    for chunk in chunks:
        rows += chunk
    return rows


def moment(row: Row | None) -> tuple[int, str]:
    return (0, "") if row is None else (row[CREATED_AT], row[ID])
