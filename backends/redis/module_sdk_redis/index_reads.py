"""Reads of indexes and records, never more than `CHUNK` records at once, and whole while a cluster moves the slot."""

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
from module_sdk_redis.scripts import COUNT, SCOPED, WALK

CHUNK: Final = 1_000
"""One script or command that takes longer keeps every other client waiting."""
MEMBERS_CHUNK: Final = 5_000
ORGANIZATION: Final = ROW_FIELDS.index("organization_id")

Rows = list[Row | None]


class Reader:
    """Bounds are those of `ZRANGE … BYLEX`. An entry whose record is gone, by `prune` or by an evicting server, is
    passed over.

    Every answer is read together with the marker of the schema, or after it was seen to be empty: an emptied store has
    no real answer (SEE-10).
    """

    def __init__(self, router: Router, layout: Layout) -> None:
        self.router = router
        self.layout = layout

    def walk(self, index: str, upper: str | bytes, lower: str, count: int, deadline: float) -> Sequence[Any]:
        """The last entry, and the records of at most `count` entries from the upper bound down, as one step.

        A record is `None` where there is none; with no entry at all the answer is empty.
        """
        arguments = (self.layout.prefix, upper, lower, count)
        try:
            reply: list[Any] = self.router.run(WALK, (index,), arguments, deadline, again=True, patient=False)
        except ResponseError as error:
            if not is_slot_moving(error):
                raise
            entries = self.members(index, upper, lower, count, deadline)
            return [*entries[-1:], *self.one_by_one(map(id_of, entries), None, deadline)]
        return reply

    def size(self, index: str, deadline: float) -> int:
        """How many entries the index has."""
        try:
            reply = self.router.run(COUNT, (index,), (self.layout.prefix,), deadline, again=True, patient=False)
        except ResponseError as error:
            if not is_slot_moving(error):
                raise
            self.demand_schema(deadline)
            reply = self.router.read("ZCARD", index, deadline=deadline)
        return int(reply)

    def members(
        self, index: str, upper: str | bytes, lower: str | bytes, count: int, deadline: float
    ) -> Sequence[bytes]:
        """At most `count` entries from the upper bound down."""
        bounds = (upper, lower, "BYLEX", "REV", "LIMIT", 0, count)
        members: list[bytes] = self.router.read("ZRANGE", index, *bounds, deadline=deadline)
        if not members:
            self.demand_schema(deadline)
        return members

    def records(self, ids: Sequence[str], organization: str | None, deadline: float) -> Sequence[bytes | None]:
        """Packed records in the order of at most `CHUNK` ids; `None` for one of another organization, if one is given.

        The server compares the organizations, so that no record of a stranger travels (SCOPE-13).
        """
        keys = tuple(map(self.layout.record, ids))
        try:
            if organization is not None:
                arguments = (self.layout.prefix, organization)
                scoped: list[bytes | None]
                scoped = self.router.run(SCOPED, keys, arguments, deadline, again=True, patient=False)
                return scoped
            records: list[bytes | None]
            version, *records = self.router.read("MGET", self.layout.schema, *keys, deadline=deadline, patient=False)
        except ResponseError as error:
            if not is_slot_moving(error):
                raise
            return self.one_by_one(ids, organization, deadline)
        if version is None:
            raise no_schema()
        return records

    def one_by_one(self, ids: Iterable[str], organization: str | None, deadline: float) -> list[bytes | None]:
        """Only a command with a single key is answered by the right one of two nodes."""
        found = [self.router.read("GET", self.layout.record(task_id), deadline=deadline) for task_id in ids]
        self.demand_schema(deadline)
        return [record if organization in (None, organization_of(record)) else None for record in found]

    def demand_schema(self, deadline: float) -> None:
        """Raise unless the marker of the schema is there."""
        if not self.router.read("EXISTS", self.layout.schema, deadline=deadline):
            raise no_schema()

    # --- Several trips ----------------------------------------------------------------------------------------------

    def rows(self, index: str, upper: str | bytes, lower: str, most: int | None, deadline: float) -> Iterator[Rows]:
        """The rows of an index in chunks, from the upper bound down, `most` in all.

        What was in the index when this began, and is neither removed nor moved in it meanwhile, comes once.
        """
        while most is None or most > 0:
            count = CHUNK if most is None else min(CHUNK, most)
            reply = self.walk(index, upper, lower, count, deadline)
            records = reply[1:]
            rows = unpack_all(records)
            if most is not None:
                most -= len(rows)
            yield rows
            if len(records) < count:
                return
            upper = b"(" + reply[0]

    def rows_of(self, ids: Sequence[str], organization: str | None, deadline: float) -> Rows:
        """The rows of those ids that have a record, in the organization if one is given, in their order."""
        rows: Rows = []
        for start in range(0, len(ids), CHUNK):
            records = self.records(ids[start : start + CHUNK], organization, deadline)
            rows += unpack_all(records)
        return rows

    def newest_of_keys(self, index: str, upper: str, lower: str, limit: int, deadline: float) -> Rows:
        """The newest rows of a range of keys. Sorted here: a script that sorts a large family makes all wait."""
        wanted = limit
        while True:
            moments = heapq.nlargest(wanted, self.moments(index, upper, lower, deadline))
            rows = self.rows_of([id_of(moment) for moment in moments], None, deadline)
            if len(rows) >= limit or len(moments) < wanted:
                return rows[:limit]
            # Some entries had no record.
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
