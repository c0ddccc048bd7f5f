"""`RedisTaskManager`: the primitives of a task manager on Redis and Valkey, in the order of `store/primitives.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from module_sdk.backends import (
    ROW_FIELDS,
    Capabilities,
    Change,
    ConfigurationError,
    Diagnosis,
    Explanation,
    ManagerOptions,
    Query,
    Sort,
    StoredRows,
    TaskManager,
    TaskRecord,
    statuses,
)
from module_sdk_redis.diagnosis import diagnose, is_durable, is_too_old, read_information
from module_sdk_redis.errors import NO_SCHEMA, is_unavailable, setup_fault
from module_sdk_redis.explain import CountingReader
from module_sdk_redis.filters import ReadModel
from module_sdk_redis.index_reads import CHUNK, Reader, Rows
from module_sdk_redis.options import ServerSettings
from module_sdk_redis.pool import Pool
from module_sdk_redis.queries import Lookups
from module_sdk_redis.records import TEXT_PAYLOADS, pack, pack_payloads, unpack, unpack_record
from module_sdk_redis.routing import new_router
from module_sdk_redis.schema import SCHEMA_VERSION, Layout, time_text
from module_sdk_redis.scripts import CREATE, GET, IMPORT, PRUNE, UPDATE

# The limits of one script of an import: it must not fill the server's buffers, nor keep other clients waiting.
IMPORT_RECORDS: Final = 250
IMPORT_BYTES: Final = 1_048_576


class RedisTaskManager(TaskManager):
    """Tasks in Redis or Valkey; docs/choosing-a-store.md describes what they offer, and their limits."""

    capabilities = Capabilities(shared=True, server=True, explain=True, bounded=True)

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        super().__init__(url, options)
        self.settings = ServerSettings.parse(self.url, self.options)
        self.layout = Layout(self.options.namespace)
        self.pool = Pool(self.settings.connection, self.options.max_connections)
        self.router = new_router(self.pool, self.settings)
        self.reader = Reader(self.router, self.layout)
        self.lookups = Lookups(self.reader)
        self.read_model = ReadModel(self.reader)

    # --- Life -------------------------------------------------------------------------------------------------------

    def store_open(self, create: bool, deadline: float) -> None:
        self.check_server(deadline)
        self.ensure_schema(create, deadline)

    def check_server(self, deadline: float) -> None:
        # Reading a key finds the node that has the hash slot; the following commands go to that node.
        self.read_version(deadline)
        information = read_information(self.router, deadline)
        if is_too_old(information):
            raise ConfigurationError(f"{self.url} is Redis {information['redis_version']}; 6.2 or later is needed")
        if information.get("cluster_enabled") == "1":
            self.router.learn_nodes(deadline)
        self.declare_durability(is_durable(self.router, information, deadline))

    def ensure_schema(self, create: bool, deadline: float) -> None:
        """Raise `ConfigurationError` unless the store has a known version. With `create`, set an absent one first."""
        if create:
            self.router.read("SET", self.layout.schema, SCHEMA_VERSION, "NX", deadline=deadline)
        found = self.read_version(deadline)
        if found is None:
            raise self.missing_schema()
        if not found.isdigit():
            raise ConfigurationError(f"{self.url}: {self.layout.schema} must contain a version, not {found!r}")
        if int(found) > SCHEMA_VERSION:
            raise self.newer_schema(found, SCHEMA_VERSION)

    def read_version(self, deadline: float) -> str | None:
        version: bytes | None = self.router.read("GET", self.layout.schema, deadline=deadline)
        return None if version is None else version.decode(errors="replace")

    def store_ping(self, deadline: float) -> None:
        self.reader.require_schema(deadline)

    def store_close(self) -> None:
        self.router.close()
        self.pool.close()

    def store_after_fork(self) -> None:
        self.router.reset_after_fork()
        self.pool.reset_after_fork()

    # --- One task ---------------------------------------------------------------------------------------------------

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        arguments = (
            self.layout.prefix,
            pack(record),
            flag(record.active_key is not None),
            "" if self.keeps_server_time else time_text(record.horizon()),
            *pack_payloads(record),
        )
        existing = self.router.run(CREATE, (self.layout.record(record.id),), arguments, deadline)
        return record if existing is None else unpack_record(record.id, *existing)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written = 0
        for first, arguments in import_chunks(records):
            keys = (self.layout.record(first.id),)
            inserted, refused = self.router.run(IMPORT, keys, (self.layout.prefix, *arguments), deadline)
            written += inserted
            if refused:
                raise self.key_is_held(refused.decode())
        return written

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        keys = (self.layout.record(task_id), self.layout.payloads(task_id))
        arguments = (self.layout.prefix, optional_argument(organization))
        found = self.router.run(GET, keys, arguments, deadline, idempotent=True)
        return None if found is None else unpack_record(task_id, *found)

    # --- Lookups ----------------------------------------------------------------------------------------------------

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        return self.lookups.by_user(organization, user, limit, deadline)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return self.lookups.by_key(organization, key, limit, deadline)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        return self.lookups.by_prefix(organization, start, end, limit, deadline)

    # --- Changes ----------------------------------------------------------------------------------------------------

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        fields = change.fields
        payloads: list[str] = []
        cleared: list[str] = []
        for name, value in fields.items():
            if name in TEXT_PAYLOADS:
                if value is None:
                    cleared.append(name)
                else:
                    payloads += (name, value)
        progress = fields.get("progress")
        arguments = (
            self.layout.prefix,
            optional_argument(organization),
            between_nuls(change.allowed),
            f"~{time_text(change.now)}" if self.keeps_server_time else time_text(change.now),
            flag(change.starts),
            flag(change.ends),
            optional_argument(fields.get("status")),
            optional_argument(None if progress is None else repr(progress)),
            optional_argument(fields.get("label")),
            len(payloads),
            *payloads,
            *cleared,
        )
        packed = self.router.run(UPDATE, (self.layout.record(task_id),), arguments, deadline)
        return None if packed is None else unpack(packed)

    # --- The read model ---------------------------------------------------------------------------------------------

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        return self.read_model.page(query, sort, offset, limit, deadline)

    def store_count(self, query: Query, deadline: float) -> int:
        return self.read_model.count(query, deadline)

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        # A task's `updated_at` is never before its `created_at`, so the bound fits an index of either time.
        if organization is not None and user is not None:
            index = self.layout.by_user(organization, user)
        else:
            index = self.layout.pages(organization)
        conditions = (
            between_nuls(statuses.FINAL),
            time_text(before),
            optional_argument(organization),
            optional_argument(user),
        )
        lower: str | bytes = "-"
        removed = 0
        while removed < batch_size:
            bounds = (lower, f"({time_text(before)}")
            arguments = (self.layout.prefix, *bounds, CHUNK, batch_size - removed, *conditions)
            batch, examined, last = self.router.run(PRUNE, (index,), arguments, deadline)
            removed += batch
            if examined < CHUNK and removed < batch_size:
                break
            lower = b"(" + last
        return removed

    # --- Insight ----------------------------------------------------------------------------------------------------

    def store_explain(
        self, operation: str, arguments: Sequence[Any], limit: int | None, deadline: float
    ) -> Explanation:
        reader = CountingReader(self.router, self.layout)
        lookups = Lookups(reader)
        by_name: dict[str, Callable[..., Rows]] = {
            "list_user_tasks": lookups.by_user,
            "get_tasks_by_key": lookups.by_key,
            "get_tasks_by_key_prefix": lookups.by_prefix,
        }
        by_name[operation](*arguments, limit, deadline)
        return Explanation("\n".join(reader.plan), reader.examined, ROW_FIELDS)

    def store_diagnose(self, deadline: float) -> Diagnosis:
        version = self.read_version(deadline)
        if version is None:
            raise self.missing_schema()
        return diagnose(self.router, self.clock, version, deadline)

    def is_unavailable(self, error: Exception) -> bool:
        return is_unavailable(error)

    def is_missing_schema(self, error: Exception) -> bool:
        return isinstance(error, ResponseError) and str(error).startswith(NO_SCHEMA)

    def setup_fault(self, error: Exception) -> str | None:
        return setup_fault(error, self.options.namespace)


def flag(value: bool) -> str:
    return "1" if value else ""


def optional_argument(value: str | None) -> str:
    """Return an argument in which a script can distinguish `None` from the empty text."""
    return "" if value is None else f"={value}"


def between_nuls(texts: Sequence[str]) -> str:
    return "\0".join(("", *texts, ""))


def import_chunks(records: Sequence[TaskRecord]) -> Iterator[tuple[TaskRecord, list[Any]]]:
    """Yield the first record of each chunk, and the chunk as arguments of the script."""
    arguments: list[Any] = []
    first, count, size = 0, 0, 0
    for index, record in enumerate(records):
        payloads = pack_payloads(record)
        arguments += (pack(record), flag(record.active_key is not None), len(payloads), *payloads)
        count += 1
        size += sum(map(len, payloads))
        if count == IMPORT_RECORDS or size >= IMPORT_BYTES or index == len(records) - 1:
            yield records[first], arguments
            arguments = []
            first, count, size = index + 1, 0, 0
