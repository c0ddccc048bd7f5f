"""Redis with a hash for each record, in reference code, beside the packed strings that ship."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.data import LOOKUPS
from benchmarks.lookups import draw
from benchmarks.measure import Case, Variant
from benchmarks.references.redis import OFFSET, UNENDED, RedisReference, time_text
from benchmarks.references.rows import ROW_COLUMNS, Row, now, rows_of
from benchmarks.stores import Filled, RunningStore, filled
from module_sdk.domain.record import TaskRecord

PACKED, HASHED = "packed string", "hash"
FIELDS: Final = tuple(ROW_COLUMNS.split(", "))

FIND: Final = """
local entries = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], 'BYLEX', 'REV')
for place, entry in ipairs(entries) do
  entries[place] = redis.call('HMGET', ARGV[1] .. string.sub(entry, -36), unpack(ARGV, 4))
end
return entries
"""
# KEYS: record, pages of the organization, of all. ARGV: organization, now, progress, statuses.
UPDATE: Final = """
local found = redis.call('HMGET', KEYS[1], 'organization_id', 'status', 'updated_at', 'id')
local organization, status, updated, id = unpack(found)
if not organization or organization ~= ARGV[1] or not string.find(ARGV[4], status, 1, true) then return nil end
local moment = ARGV[2]
if moment <= updated then
  moment = string.sub(updated, 1, 9) .. string.format('%09d', tonumber(string.sub(updated, 10)) + 1)
end
redis.call('HSET', KEYS[1], 'progress', ARGV[3], 'updated_at', moment)
redis.call('ZREM', KEYS[2], updated .. id)
redis.call('ZADD', KEYS[2], 0, moment .. id)
redis.call('ZREM', KEYS[3], updated .. id)
redis.call('ZADD', KEYS[3], 0, moment .. id)
return redis.call('HMGET', KEYS[1], unpack(ARGV, 5))
"""


class HashedReference(RedisReference):
    """The same indexes; each record is a hash under a name of its own."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.records = f"{self.prefix}h:"
        self.find_hashed, self.update_hashed = self.loaded(FIND), self.loaded(UPDATE)

    def store_records(self, records: Sequence[TaskRecord]) -> None:
        with self.client.pipeline(transaction=False) as pipeline:
            for record in records:
                texts: dict[Any, Any] = dict(zip(FIELDS, record, strict=False))
                texts["progress"], texts["task_key"] = repr(record.progress), record.task_key or ""
                texts |= {name: time_text(texts[name]) for name in ("created_at", "updated_at")}
                pipeline.hset(self.records + record.id, mapping=texts)
            pipeline.execute()

    def find_rows(self, index: str, upper: str, lower: str) -> list[Row]:
        found = self.call("EVALSHA", self.find_hashed, 1, index, self.records, upper, lower, *FIELDS)
        return rows_of(map(stored_of, found))

    def list_user_tasks(self, user_id: int, organization_id: int) -> list[Row]:
        organization = str(organization_id)
        return self.find_rows(f"{self.prefix}u:{len(organization)}:{organization}:{user_id}", "+", "-")

    def get_tasks_by_key(self, task_key: str, organization_id: int) -> list[Row]:
        return self.find_rows(f"{self.prefix}k:{organization_id}", f"({task_key}\x01", f"[{task_key}\0")

    def get_tasks_by_key_prefix(self, prefix: str, organization_id: int) -> list[Row]:
        end = f"({prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"
        rows = self.find_rows(f"{self.prefix}k:{organization_id}", end, f"[{prefix}")
        rows.sort(key=lambda row: (row["created_at"], row["id"]), reverse=True)
        return rows

    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        keys = (f"{self.records}{task_id}", f"{self.prefix}o:{organization_id}", f"{self.prefix}all")
        arguments = (organization_id, time_text(now()), repr(progress), UNENDED, *FIELDS)
        found = self.call("EVALSHA", self.update_hashed, 3, *keys, *arguments)
        return None if found is None else rows_of([stored_of(found)])[0]


def stored_of(texts: Sequence[bytes]) -> list[Any]:
    fields: list[Any] = [text.decode() for text in texts]
    fields[4] = float(fields[4])
    fields[5] = fields[5] or None
    fields[8] = int(fields[8]) - OFFSET
    fields[9] = int(fields[9]) - OFFSET
    return fields


def record_cases(place: RunningStore, size: int, stack: Any) -> list[Case]:
    """The hashes lie beside the packed records of the same tasks; each variant updates tasks of its own."""
    one: Filled = stack.enter_context(filled(place, size))
    hashed = HashedReference(place.url, f"n{size}")
    stack.callback(hashed.close)
    hashed.store_records([task.to_record() for task in one.dataset.tasks()])
    chance = random.Random(size)
    variants = {PACKED: one.reference, HASHED: hashed}
    cases = [
        Case(
            {"choice": f"{lookup}, {found} found", "size": size},
            tuple(Variant(name, getattr(client, lookup)) for name, client in variants.items()),
            functools.partial(draw, chance, one.dataset.arguments(lookup, found)),
        )
        for lookup in LOOKUPS
        for found in (10, 100)
    ]
    active = one.dataset.active
    cases.append(
        Case(
            {"choice": "update_progress", "size": size},
            tuple(Variant(name, client.update_progress) for name, client in variants.items()),
            lambda number: [(a.task_id, a.organization_id, chance.random()) for a in chance.choices(active, k=number)],
        )
    )
    return cases
