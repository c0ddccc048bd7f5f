"""Reads of indexes and records: at most `CHUNK` records at once, and complete while a cluster moves the hash slot."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from module_sdk.backends import ROW_FIELDS
from module_sdk_redis.errors import is_slot_moving, no_schema
from module_sdk_redis.records import Row, unpack, unpack_all
from module_sdk_redis.routing import Router
from module_sdk_redis.schema import ID_LENGTH, MOMENT_LENGTH, Layout
from module_sdk_redis.scripts import COUNT, SCAN_INDEX, SCOPED

CHUNK: Final = 1_000
"""Records per script or command; a larger one would block all other clients for too long."""
MEMBERS_CHUNK: Final = 5_000
ORGANIZATION: Final = ROW_FIELDS.index("organization_id")

Rows = list[Row | None]


class Reader:
    """Reads indexes and records. Bounds are those of `ZRANGE … BYLEX`.

    An entry whose record was removed, by `prune` or by an evicting server, is skipped.

    Each answer is read together with the schema marker, or the marker is checked after an empty answer: an emptied
    store must not look like a store without tasks (SEE-10).
    """

    def __init__(self, router: Router, layout: Layout) -> None:
        self.router = router
        self.layout = layout

    def scan_index(self, index: str, upper: str | bytes, lower: str, count: int, deadline: float) -> Sequence[Any]:
        """Return the last entry, and the records of at most `count` entries from the upper bound down.

        A missing record is `None`. The answer is empty if there are no entries. It is read in one step, except while
        the hash slot is moving.
        """
        arguments = (self.layout.prefix, upper, lower, count)
        try:
            reply: list[Any] = self.router.run(
                SCAN_INDEX, (index,), arguments, deadline, idempotent=True, wait_for_slot=False
            )
        except ResponseError as error:
            if not is_slot_moving(error):
                raise
            entries = self.members(index, upper, lower, count, deadline)
            return [*entries[-1:], *self.one_by_one(map(id_of, entries), None, deadline)]
        return reply

    def size(self, index: str, deadline: float) -> int:
        """Return the number of entries in the index."""
        arguments = (self.layout.prefix,)
        try:
            reply = self.router.run(COUNT, (index,), arguments, deadline, idempotent=True, wait_for_slot=False)
        except ResponseError as error:
            if not is_slot_moving(error):
                raise
            self.require_schema(deadline)
            reply = self.router.read("ZCARD", index, deadline=deadline)
        return int(reply)

    def members(
        self, index: str, upper: str | bytes, lower: str | bytes, count: int, deadline: float
    ) -> Sequence[bytes]:
        """Return at most `count` entries from the upper bound down."""
        bounds = (upper, lower, "BYLEX", "REV", "LIMIT", 0, count)
        members: list[bytes] = self.router.read("ZRANGE", index, *bounds, deadline=deadline)
        if not members:
            self.require_schema(deadline)
        return members

    def records(self, ids: Sequence[str], organization: str | None, deadline: float) -> Sequence[bytes | None]:
        """Return the packed records of at most `CHUNK` ids, in their order.

        A missing record is `None`, and so is one of another organization if an organization is given. The server makes
        that comparison, so that no record of another organization leaves it (SCOPE-13).
        """
        keys = tuple(map(self.layout.record, ids))
        try:
            if organization is not None:
                arguments = (self.layout.prefix, organization)
                scoped: list[bytes | None]
                scoped = self.router.run(SCOPED, keys, arguments, deadline, idempotent=True, wait_for_slot=False)
                return scoped
            records: list[bytes | None]
            names = (self.layout.schema, *keys)
            version, *records = self.router.read("MGET", *names, deadline=deadline, wait_for_slot=False)
        except ResponseError as error:
            if not is_slot_moving(error):
                raise
            return self.one_by_one(ids, organization, deadline)
        if version is None:
            raise no_schema()
        return records

    def one_by_one(self, ids: Iterable[str], organization: str | None, deadline: float) -> list[bytes | None]:
        """Return packed records like `records`, with one command for each.

        While the hash slot is moving, only a command with a single key reaches the node that has that key.
        """
        found = [self.router.read("GET", self.layout.record(task_id), deadline=deadline) for task_id in ids]
        self.require_schema(deadline)
        return [record if organization in (None, organization_of(record)) else None for record in found]

    def require_schema(self, deadline: float) -> None:
        """Raise an error if the schema marker is missing."""
        if not self.router.read("EXISTS", self.layout.schema, deadline=deadline):
            raise no_schema()

    # --- Several round trips ----------------------------------------------------------------------------------------

    def rows(self, index: str, upper: str | bytes, lower: str, limit: int | None, deadline: float) -> Iterator[Rows]:
        """Yield the rows of an index in chunks, from the upper bound down, at most `limit` in all.

        An entry that is in the index from the start, and is neither removed nor moved meanwhile, is returned once.
        """
        while limit is None or limit > 0:
            count = CHUNK if limit is None else min(CHUNK, limit)
            reply = self.scan_index(index, upper, lower, count, deadline)
            records = reply[1:]
            rows = unpack_all(records)
            if limit is not None:
                limit -= len(rows)
            yield rows
            if len(records) < count:
                return
            upper = b"(" + reply[0]

    def rows_of(self, ids: Sequence[str], organization: str | None, deadline: float) -> Rows:
        """Return the rows of the ids that have a record, within the organization if one is given, in their order."""
        rows: Rows = []
        for start in range(0, len(ids), CHUNK):
            records = self.records(ids[start : start + CHUNK], organization, deadline)
            rows += unpack_all(records)
        return rows

    def newest_of_keys(self, index: str, upper: str, lower: str, limit: int, deadline: float) -> Rows:
        """Return the newest rows of a range of keys.

        They are sorted here: a script that sorts many tasks would block all other clients.
        """
        wanted = limit
        while True:
            moments = heapq.nlargest(wanted, self.moments(index, upper, lower, deadline))
            rows = self.rows_of([id_of(moment) for moment in moments], None, deadline)
            if len(rows) >= limit or len(moments) < wanted:
                return rows[:limit]
            # Some entries had no record, so more entries are needed.
            wanted = 2 * wanted

    def moments(self, index: str, upper: str | bytes, lower: str, deadline: float) -> Iterator[bytes]:
        while True:
            members = self.members(index, upper, lower, MEMBERS_CHUNK, deadline)
            yield from (member[-MOMENT_LENGTH:] for member in members)
            if len(members) < MEMBERS_CHUNK:
                return
            upper = b"(" + members[-1]


def id_of(entry: bytes) -> str:
    return entry[-ID_LENGTH:].decode()


def organization_of(record: bytes | None) -> str | None:
    row = None if record is None else unpack(record)
    return None if row is None else row[ORGANIZATION]
