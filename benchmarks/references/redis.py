"""Redis through redis-py's connection and hiredis: one script per call, records as packed strings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import redis

from benchmarks.references.base import Reference
from benchmarks.references.rows import PAYLOAD_FIELDS, NewTask, Row, encoded, now, rows_of
from module_sdk.domain.record import TaskRecord

# Added to times in microseconds, so that all have 18 digits and sort as text.
OFFSET = 10**17

FIND = """
local entries = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], 'BYLEX', 'REV')
if #entries == 0 then return entries end
for position, entry in ipairs(entries) do entries[position] = ARGV[1] .. string.sub(entry, -36) end
return redis.call('MGET', unpack(entries))
"""
# KEYS: record, index by user, index by key, pages of the organization, pages of all, holder of the key.
# ARGV: packed record, key, time and id, id, prefix of records.
CREATE = """
local holder = redis.call('GET', KEYS[6])
if holder then return redis.call('GET', ARGV[5] .. holder) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], 0, ARGV[3])
redis.call('ZADD', KEYS[3], 0, ARGV[2] .. '\\0' .. ARGV[3])
redis.call('ZADD', KEYS[4], 0, ARGV[3])
redis.call('ZADD', KEYS[5], 0, ARGV[3])
redis.call('SET', KEYS[6], ARGV[4])
"""
# KEYS: record, payloads, pages of the organization, pages of all. ARGV: organization, now, progress, allowed statuses;
# to end a task also the new status, the result, and the prefix of the Redis keys that name the holders of task keys.
UPDATE = """
local packed = redis.call('GET', KEYS[1])
if not packed then return nil end
local id, module, label, status, progress, key, user, organization, created, updated = string.match(packed,
  '^(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)$')
if organization ~= ARGV[1] or not string.find(ARGV[4], status, 1, true) then return nil end
local moment = ARGV[2]
if moment <= updated then
  moment = string.sub(updated, 1, 9) .. string.format('%09d', tonumber(string.sub(updated, 10)) + 1)
end
if ARGV[5] then
  status = ARGV[5]
  redis.call('HSET', KEYS[2], 'result', ARGV[6], 'finished_at', moment)
  redis.call('DEL', ARGV[7] .. key)
end
packed = table.concat(
  {id, module, label, status, ARGV[3], key, user, organization, created, moment}, '\\0')
redis.call('SET', KEYS[1], packed)
redis.call('ZREM', KEYS[3], updated .. id)
redis.call('ZADD', KEYS[3], 0, moment .. id)
redis.call('ZREM', KEYS[4], updated .. id)
redis.call('ZADD', KEYS[4], 0, moment .. id)
return packed
"""
ACTIVE_STATUSES = "pending running waiting_confirmation"


class RedisReference(Reference):
    def __init__(self, url: str, namespace: str) -> None:
        self.location = (url, namespace)
        self.prefix = f"{{{namespace}}}:"
        self.records = f"{self.prefix}t:"
        self.client = redis.Redis.from_url(url)
        self.connection = self.client.connection_pool.get_connection()
        self.find, self.insert, self.update = (self.loaded(text) for text in (FIND, CREATE, UPDATE))

    def loaded(self, text: str) -> str:
        """Load a script, and return the digest by which EVALSHA runs it."""
        self.call("SCRIPT", "LOAD", text)
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, *command: Any) -> Any:
        self.connection.send_command(*command)
        return self.connection.read_response()

    def list_user_tasks(self, user_id: int, organization_id: int) -> list[Row]:
        organization = str(organization_id)
        index = f"{self.prefix}u:{len(organization)}:{organization}:{user_id}"
        return unpacked(self.call("EVALSHA", self.find, 1, index, self.records, "+", "-"))

    def get_tasks_by_key(self, task_key: str, organization_id: int) -> list[Row]:
        index = f"{self.prefix}k:{organization_id}"
        bounds = (f"({task_key}\x01", f"[{task_key}\0")
        return unpacked(self.call("EVALSHA", self.find, 1, index, self.records, *bounds))

    def get_tasks_by_key_prefix(self, prefix: str, organization_id: int) -> list[Row]:
        index = f"{self.prefix}k:{organization_id}"
        bounds = (f"({prefix[:-1]}{chr(ord(prefix[-1]) + 1)}", f"[{prefix}")
        rows = unpacked(self.call("EVALSHA", self.find, 1, index, self.records, *bounds))
        rows.sort(key=lambda row: (row["created_at"], row["id"]), reverse=True)
        return rows

    def create(self, task: NewTask) -> tuple[Row, bool]:
        packed = "\0".join(
            (task.id, task.module, task.label, task.status, "0.0", task.key, task.user, task.organization)
            + (time_text(task.now),) * 2
        )
        moment = f"{time_text(task.now)}{task.id}"
        existing = self.call(
            "EVALSHA", self.insert, 6, *self.keys(task), packed, task.key, moment, task.id, self.records
        )
        return unpacked([packed.encode() if existing is None else existing])[0], existing is None

    def keys(self, task: NewTask) -> tuple[str, ...]:
        scoped = f"{len(task.organization)}:{task.organization}:"
        return (
            f"{self.records}{task.id}",
            f"{self.prefix}u:{scoped}{task.user}",
            f"{self.prefix}k:{task.organization}",
            f"{self.prefix}o:{task.organization}",
            f"{self.prefix}all",
            f"{self.prefix}a:{scoped}{task.key}",
        )

    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        return self.changed(task_id, organization_id, repr(progress), ACTIVE_STATUSES)

    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        organization = str(organization_id)
        holder = f"{self.prefix}a:{len(organization)}:{organization}:"
        return self.changed(task_id, organization_id, "1.0", "running", "completed", encoded(result), holder)

    def changed(self, task_id: str, organization_id: int, *arguments: str) -> Row | None:
        keys = (
            f"{self.records}{task_id}",
            f"{self.prefix}p:{task_id}",
            f"{self.prefix}o:{organization_id}",
            f"{self.prefix}all",
        )
        packed = self.call("EVALSHA", self.update, 4, *keys, organization_id, time_text(now()), *arguments)
        return None if packed is None else unpacked([packed])[0]

    def load(self, records: Sequence[TaskRecord]) -> None:
        with self.client.pipeline(transaction=False) as pipeline:
            for record in records:
                self.queue(pipeline, record)
            pipeline.execute()

    def queue(self, pipeline: Any, record: TaskRecord) -> None:
        organization = record.organization_id
        scoped = f"{len(organization.encode())}:{organization}:"
        created, updated = time_text(record.created_at), time_text(record.updated_at)
        texts = (*record[:4], repr(record.progress), record.task_key or "", *record[6:8], created, updated)
        pipeline.set(self.records + record.id, "\0".join(texts))
        payloads = {name: getattr(record, name) for name in PAYLOAD_FIELDS}
        payloads |= {name: time_text(getattr(record, name) or 0) for name in ("started_at", "finished_at")}
        pipeline.hset(f"{self.prefix}p:{record.id}", mapping={k: v for k, v in payloads.items() if v is not None})
        pipeline.zadd(f"{self.prefix}u:{scoped}{record.user_id}", {created + record.id: 0})
        if record.task_key is not None:
            pipeline.zadd(f"{self.prefix}k:{organization}", {f"{record.task_key}\0{created}{record.id}": 0})
        if record.active_key is not None:
            pipeline.set(f"{self.prefix}a:{scoped}{record.active_key}", record.id)
        pipeline.zadd(f"{self.prefix}o:{organization}", {updated + record.id: 0})
        pipeline.zadd(f"{self.prefix}all", {updated + record.id: 0})

    def for_another_thread(self) -> Reference:
        return RedisReference(*self.location)

    def close(self) -> None:
        self.client.connection_pool.release(self.connection)
        self.client.close()


def time_text(microseconds: int) -> str:
    return f"{microseconds + OFFSET:018d}"


def unpacked(packed: Sequence[bytes]) -> list[Row]:
    stored = []
    for record in packed:
        fields: list[Any] = record.decode().split("\0")
        fields[4] = float(fields[4])
        fields[5] = fields[5] or None
        fields[8] = int(fields[8]) - OFFSET
        fields[9] = int(fields[9]) - OFFSET
        stored.append(fields)
    return rows_of(stored)
