"""Mutants of the Redis backend, on a real server."""

from __future__ import annotations

import hashlib
import time
from typing import Any, ClassVar

from module_sdk_redis import scripts
from module_sdk_redis.layout import Layout
from module_sdk_redis.lookups import moment
from module_sdk_redis.manager import RedisTaskManager
from module_sdk_redis.packing import pack, unpack
from module_sdk_redis.scripts import Script

from module_sdk.backends import ManagerOptions, StoredRows, TaskRecord
from tests.mutants.bases import Opened


class RedisMutant(Opened, RedisTaskManager):
    """A good store in Redis, whose scripts can have another text."""

    replacements: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        if self.replacements:
            good = self.router.run
            all_scripts = [script for script in vars(scripts).values() if isinstance(script, Script)]
            # Otherwise it would be a good store, once somebody has written the script anew.
            assert all(any(old in script.text for script in all_scripts) for old, _ in self.replacements)
            changed = {script: rewritten(script, self.replacements) for script in all_scripts}
            self.router.run = lambda script, *args, **kwargs: good(changed[script], *args, **kwargs)  # type: ignore[method-assign]


def rewritten(script: Script, replacements: tuple[tuple[str, str], ...]) -> Script:
    changed = Script.__new__(Script)
    changed.text = script.text
    for old, new in replacements:
        changed.text = changed.text.replace(old, new)
    changed.digest = hashlib.sha1(changed.text.encode(), usedforsecurity=False).hexdigest()
    return changed


class MatchInRedis(RedisMutant):
    """The family by ZSCAN and MATCH, whose pattern is a glob."""

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        index, cursor = self.layout.by_key(organization), b"0"
        entries: set[bytes] = set()
        while True:
            cursor, found = self.router.read(
                "ZSCAN", index, cursor, "MATCH", f"{start}*", "COUNT", 1_000, deadline=deadline
            )
            entries.update(found[::2])
            if cursor in (b"0", 0) or self.is_one_page():
                break
        return self.rows_of_entries(entries, limit, deadline)

    def is_one_page(self) -> bool:
        return False

    def rows_of_entries(self, entries: set[bytes], limit: int | None, deadline: float) -> StoredRows:
        ids = [entry[-36:].decode() for entry in entries]
        rows = self.reader.rows_of(ids, None, deadline)
        return sorted(rows, key=moment, reverse=True)[:limit]


class OnePageInRedis(MatchInRedis):
    def is_one_page(self) -> bool:
        return True


class JoinedNamesInRedis(RedisMutant):
    """Organization and user with a colon between, and no length before."""

    replacements = (
        ("local scoped = #organization .. ':' .. organization .. ':'", "local scoped = organization .. ':'"),
    )

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.layout = self.reader.layout = JoinedLayout(options.namespace)


class JoinedLayout(Layout):
    def by_user(self, organization: str, user: str) -> str:
        return f"{self.prefix}u:{organization}:{user}"


class PruneLeavesEntriesInRedis(RedisMutant):
    replacements = (("redis.call('ZREM', keys.by_user, record.created .. record.id)\n    if", "if"),)


class PruneLeavesKeyEntriesInRedis(RedisMutant):
    replacements = (("redis.call('ZREM', keys.by_key,", "redis.call('ZSCORE', keys.by_key,"),)


THROUGH_CJSON = """local through = {}
for place = first, last do
  local text = ARGV[place]
  if string.sub(text, 1, 1) == '[' then text = cjson.encode(cjson.decode(text)) end
  through[#through + 1] = text
end
redis.call('HSET', keys.payloads, unpack(through))"""


class CjsonInRedis(RedisMutant):
    """Decodes and encodes payloads on the server."""

    replacements = (("redis.call('HSET', keys.payloads, unpack(ARGV, first, last))", THROUGH_CJSON),)


class EndKeepsTheKeyInRedis(RedisMutant):
    replacements = (("redis.call('DEL', keys.active)", "redis.call('EXISTS', keys.active)"),)


class PagesKeepOldEntriesInRedis(RedisMutant):
    replacements = (("redis.call('ZREM', pages, old)\n", ""),)


class TimesWithoutCarryInRedis(RedisMutant):
    """Adds to the lower digits of a time, and forgets the upper ones."""

    replacements = (("string.format('%09d', tonumber(string.sub(time, 1, 9)) + 1)", "string.sub(time, 1, 9)"),)


class CheckThenInsertInRedis(RedisMutant):
    """Asks who holds the key, waits 5 ms, and writes a record that holds it."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        if record.active_key is None:
            return super().store_create(record, deadline)
        size = len(record.organization_id.encode())
        active = f"{self.layout.prefix}a:{size}:{record.organization_id}:{record.active_key}"
        holder = self.router.read("GET", active, deadline=deadline)
        standing = None if holder is None else self.store_get(holder.decode(), None, deadline)
        if standing is not None:
            return standing
        time.sleep(0.005)
        self.router.read("DEL", active, deadline=deadline)
        return super().store_create(record, deadline)


class RowWrittenOutsideTheScript(RedisMutant):
    """Changes the record by the script, waits 5 ms, and sets all that it read before, unless the status changes."""

    def store_update(self, task_id: str, organization: str | None, change: Any, deadline: float) -> Any:
        record = self.store_get(task_id, organization, deadline)
        if record is None or "status" in change.fields or record.status not in change.allowed:
            return super().store_update(task_id, organization, change, deadline)
        if super().store_update(task_id, organization, change, deadline) is None:
            return None
        time.sleep(0.005)
        fields = {name: value for name, value in change.fields.items() if name in ("progress", "label")}
        packed = pack(record._replace(**fields, updated_at=max(change.now, record.updated_at + 1)))
        self.router.read("SET", self.layout.record(task_id), packed, deadline=deadline)
        return unpack(packed.encode())
