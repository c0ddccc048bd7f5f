"""`MongoTaskManager`: the primitives of a task manager on MongoDB, in the order of `store/primitives.py`."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final, TypeVar

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from module_sdk.backends import (
    Capabilities,
    Change,
    ConfigurationError,
    Diagnosis,
    Explanation,
    LateError,
    ManagerOptions,
    Query,
    Sort,
    StoredRows,
    TaskBackendError,
    TaskBackendUnavailableError,
    TaskManager,
    TaskRecord,
    Workers,
    statuses,
)
from module_sdk_mongo import queries, schema
from module_sdk_mongo.connection import CLOSE_SECONDS, Connection, Document, within
from module_sdk_mongo.diagnosis import diagnose
from module_sdk_mongo.errors import is_missing_schema, is_unavailable, lacks_majority, setup_fault
from module_sdk_mongo.explain import explain
from module_sdk_mongo.filters import order_of, query_document
from module_sdk_mongo.queries import Find
from module_sdk_mongo.records import ROW_PROJECTION, document_of, record_of, row_of
from module_sdk_mongo.updates import guard, pipeline, upsert_bounded

Result = TypeVar("Result")

logger = logging.getLogger("module_sdk.tasks")

# The first version that has hints for findAndModify and delete, and allowDiskUse for find.
OLDEST_SERVER: Final = (4, 4)
# An attempt fails if the holder of the key ends, and another task takes the key, between two commands.
MAXIMUM_CREATE_ATTEMPTS: Final = 100
DUPLICATE_KEY: Final = 11000
# How long after its deadline a call of the driver may still return.
GRACE_SECONDS: Final = 0.1

# The last check of the store must not be older than this when a call starts: another server may have become the
# primary, and an empty collection may be one that was dropped.
MAXIMUM_CHECK_AGE_SECONDS: Final = 0.5
# An insert creates a collection that does not exist, so the check before it must be more recent. A check before each
# insert would make each insert take half as long again.
MAXIMUM_CHECK_AGE_BEFORE_INSERT_SECONDS: Final = 0.02

# A forked child must neither use nor close an inherited connection: closing it would end the parent's sessions.
inherited: list[Connection] = []


class MongoTaskManager(TaskManager):
    """Tasks in a MongoDB database; docs/choosing-a-store.md describes the options and the limits."""

    capabilities = Capabilities(shared=True, durable=True, server=True, explain=True, bounded=True)

    connection_class: ClassVar[type[Connection]] = Connection

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        super().__init__(url, options)
        self.options.refuse_unknown()
        self.renew()
        self.connection.open()

    # --- The driver's threads ---------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Start with a new client, and new threads that use it."""
        self.connection = self.connection_class(self.url, self.options)
        self.checked_at = -math.inf
        self.workers = Workers(self.options.max_connections, "module-sdk-mongo", grace_seconds=GRACE_SECONDS)

    def call_open(self, primitive: Callable[..., Result], *args: Any) -> Result:
        result: Result = super().call_open(self.on_worker, primitive, *args)
        return result

    def on_worker(self, primitive: Callable[..., Result], *args: Any) -> Result:
        """Run a primitive on a worker thread; its last argument is the deadline.

        The driver runs Python code under its locks. If a signal handler raised there, a lock would stay locked; if a
        signal handler made a lookup there, it would wait for a lock of its own thread. Workers run no signal handlers.
        """
        workers = self.workers
        try:
            return workers.run(functools.partial(primitive, *args), args[-1])
        except TaskBackendUnavailableError as error:
            if workers.are_stuck() and workers is self.workers:
                logger.error("the driver of %s did not return in time: the manager opens a new client", self.url)
                abandoned = self.connection
                self.renew()
                self.connection.open()
                threading.Thread(target=abandoned.close, name="module-sdk-mongo-close", daemon=True).start()
            if isinstance(error, LateError):
                raise TaskBackendUnavailableError(str(error)) from None
            raise

    # --- Life -------------------------------------------------------------------------------------------------------

    def store_open(self, create: bool, deadline: float) -> None:
        self.on_worker(self.open_now, create, deadline)

    def open_now(self, create: bool, deadline: float) -> None:
        self.connection.open()
        with within(deadline):
            self.check_server()
            self.ensure_schema(create)
        self.checked_at = time.monotonic()

    def check_server(self) -> None:
        client = self.connection.database.client
        version = tuple(client.server_info()["versionArray"][:2])
        if version < OLDEST_SERVER:
            raise ConfigurationError(f"{self.url} is MongoDB {version[0]}.{version[1]}: 4.4 or later is needed")
        self.connection.check_role()

    def ensure_schema(self, create: bool) -> None:
        """Raise `ConfigurationError` unless the schema is complete. With `create`, create what is missing first."""
        if fault := schema.fault_of_options(self.connection):
            raise ConfigurationError(f"{self.url}: the collection {self.connection.tasks.name} {fault}")
        found = schema.read_version(self.connection)
        if found is not None and not isinstance(found, int):
            raise ConfigurationError(f"{self.url}: {self.connection.meta.name} must contain a version, not {found!r}")
        if found is not None and found > schema.SCHEMA_VERSION:
            raise self.newer_schema(found, schema.SCHEMA_VERSION)
        if found == schema.SCHEMA_VERSION and not schema.missing_indexes(self.connection):
            return
        if not create:
            raise self.missing_schema()
        schema.build(self.connection)
        # Another process may have written a newer version.
        self.ensure_schema(create=False)

    def store_ping(self, deadline: float) -> None:
        with within(deadline):
            self.check_store()

    def store_close(self) -> None:
        # Closing takes the driver's locks, so it needs a worker; those of the manager may all be busy.
        closing = Workers(1, "module-sdk-mongo-close")
        with contextlib.suppress(LateError):
            closing.run(self.connection.close, time.monotonic() + 2 * CLOSE_SECONDS)
        closing.close()
        self.workers.close()

    def checked_within(
        self, deadline: float, maximum_age_seconds: float = MAXIMUM_CHECK_AGE_SECONDS
    ) -> AbstractContextManager[None]:
        """Check the store unless the last check is recent enough, then return the context of `within`."""
        if time.monotonic() - self.checked_at > maximum_age_seconds:
            with within(deadline):
                self.check_store()
        return within(deadline)

    def check_store(self) -> None:
        """Check that the server is the primary and the store was not emptied. Raises the errors of `store_open`."""
        began = time.monotonic()
        self.connection.check_role()
        found = schema.read_whole_version(self.connection)
        if found != schema.SCHEMA_VERSION:
            self.ensure_schema(create=False)
        self.checked_at = began

    # --- One task ---------------------------------------------------------------------------------------------------

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        document = document_of(record)
        # All fields of the condition are in one of the store's indexes, and the hint requires that index. If the
        # collection was dropped, the index is missing, so the command fails instead of inserting into a new collection.
        condition: Document = {name: document[name] for name in ("organization_id", "user_id", "created_at", "_id")}
        index = schema.BY_USER
        if record.active_key is not None:
            condition = {"organization_id": record.organization_id, "active_key": record.active_key}
            index = schema.BY_ACTIVE_KEY
        tasks = self.connection.tasks
        change: Document | list[Document] = {"$setOnInsert": document}
        # Ask for the document before the update, which is none after an insert: the new one need not be sent back.
        answer = ReturnDocument.BEFORE
        if self.keeps_server_time:
            change, answer = upsert_bounded(document), ReturnDocument.AFTER
        with self.checked_within(deadline, MAXIMUM_CHECK_AGE_BEFORE_INSERT_SECONDS):
            for _ in range(MAXIMUM_CREATE_ATTEMPTS):
                existing: Document | None = None
                # Raised if the id exists, or if another writer takes the key at the same moment.
                with contextlib.suppress(DuplicateKeyError):
                    existing = tasks.find_one_and_update(
                        condition, change, upsert=True, hint=index, return_document=answer
                    )
                    if existing is None:
                        return record
                if existing is None or existing["_id"] != record.id:
                    existing = tasks.find_one({"_id": record.id}, hint=schema.BY_ID) or existing
                if existing is not None:
                    return record_of(existing)
        raise TaskBackendError(
            f"task {record.id} was not created: its key changed holders {MAXIMUM_CREATE_ATTEMPTS} times in a row"
        )

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        tasks = self.connection.tasks
        with self.checked_within(deadline, 0):
            wanted: dict[str, TaskRecord] = {}
            for record in records:
                wanted.setdefault(record.id, record)
            present = tasks.find({"_id": {"$in": list(wanted)}}, {"_id": 1}, hint=schema.BY_ID)
            existing = {document["_id"] for document in present}
            remaining = [document_of(record) for task_id, record in wanted.items() if task_id not in existing]
            written = 0
            while remaining:
                try:
                    # Inserted in order: a document after a conflict must not be inserted.
                    return written + len(tasks.insert_many(remaining).inserted_ids)
                except BulkWriteError as error:
                    if lacks_majority(error) or error.details["writeErrors"][0]["code"] != DUPLICATE_KEY:
                        raise
                    failure = error.details["writeErrors"][0]
                written += failure["index"]
                refused, *remaining = remaining[failure["index"] :]
                # If another import inserted the same task, continue; if another task has the key, raise.
                if tasks.find_one({"_id": refused["_id"]}, {"_id": 1}, hint=schema.BY_ID) is None:
                    raise self.key_is_held(refused["_id"])
        return written

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        condition = {"_id": task_id} if organization is None else {"_id": task_id, "organization_id": organization}
        with self.checked_within(deadline):
            document = self.connection.tasks.find_one(condition, hint=schema.BY_ID)
            if document is None:
                # A run whose task is unknown drops its end, so an emptied store must raise here.
                self.check_store()
        return None if document is None else record_of(document)

    # --- Lookups ----------------------------------------------------------------------------------------------------

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        with self.checked_within(deadline):
            return queries.by_user(organization, user, limit).rows(self.connection.tasks)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        with self.checked_within(deadline):
            return queries.by_key(organization, key, limit).rows(self.connection.tasks)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        tasks = self.connection.tasks
        with self.checked_within(deadline):
            if limit is None:
                return queries.newest_first(queries.by_prefix(organization, start, end).rows(tasks))
            newest = queries.newest_ids_by_prefix(organization, start, end, limit)
            while True:
                ids = [document["_id"] for document in newest.documents(tasks)]
                rows = queries.by_ids(ids).rows(tasks) if ids else []
                # If a task was pruned in between, an older one belongs in the answer; read again.
                if len(rows) == len(ids):
                    return queries.newest_first(rows)

    # --- Changes ----------------------------------------------------------------------------------------------------

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with self.checked_within(deadline):
            document = self.connection.tasks.find_one_and_update(
                guard(task_id, organization, change),
                pipeline(change, keeps_server_time=self.keeps_server_time),
                projection=ROW_PROJECTION,
                return_document=ReturnDocument.AFTER,
                hint=schema.BY_ID,
            )
        return None if document is None else row_of(document)

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        stages = pipeline(change, keeps_server_time=self.keeps_server_time)
        updates = [UpdateOne(guard(each, organization, change), stages, hint=schema.BY_ID) for each in task_ids]
        with self.checked_within(deadline):
            return self.connection.tasks.bulk_write(updates, ordered=False).matched_count

    # --- The read model ---------------------------------------------------------------------------------------------

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        condition, order = query_document(query), order_of(sort)
        tasks = self.connection.tasks
        with self.checked_within(deadline):
            if not offset:
                return Find(condition, None, order=order, limit=limit).rows(tasks)
            # Ids first: if an index has the order, no skipped document is read.
            chosen = Find(condition, None, fields={"_id": 1}, order=order, skip=offset, limit=limit).documents(tasks)
            ids = [document["_id"] for document in chosen]
            found = Find({"$and": [{"_id": {"$in": ids}}, condition]}, schema.BY_ID).documents(tasks)
        by_id = {document["_id"]: row_of(document) for document in found}
        # A task that was pruned in between, or changed so that it no longer matches, is missing.
        return [by_id[task_id] for task_id in ids if task_id in by_id]

    def store_count(self, query: Query, deadline: float) -> int:
        condition = query_document(query)
        with self.checked_within(deadline):
            if not condition:
                return self.connection.tasks.count_documents(condition, hint=schema.BY_ID)
            return self.connection.tasks.count_documents(condition)

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        finished: Document = {"status": {"$in": list(statuses.FINAL)}}
        condition: Document = {**finished, "updated_at": {"$lt": before}}
        index = schema.BY_CHANGE
        if organization is not None:
            condition["organization_id"], index = organization, schema.BY_CHANGE_IN_ORGANIZATION
        if user is not None:
            condition["user_id"] = user
        tasks = self.connection.tasks
        removed = 0
        with self.checked_within(deadline):
            # The loop repeats only if another process prunes the same tasks.
            while removed < batch_size:
                wanted = batch_size - removed
                old = Find(condition, index, fields={"_id": 1}, limit=wanted).documents(tasks)
                ids = [document["_id"] for document in old]
                removed += tasks.delete_many({"_id": {"$in": ids}, **finished}, hint=schema.BY_ID).deleted_count
                if len(ids) < wanted:
                    break
        return removed

    # --- Insight ----------------------------------------------------------------------------------------------------

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        tasks = self.connection.tasks
        organization, argument = str(arguments[0]), str(arguments[1])
        with self.checked_within(deadline):
            if operation == "list_user_tasks":
                finds = [queries.by_user(organization, argument, limit)]
            elif operation == "get_tasks_by_key":
                finds = [queries.by_key(organization, argument, limit)]
            elif limit is None:
                finds = [queries.by_prefix(organization, argument, arguments[2])]
            else:
                newest = queries.newest_ids_by_prefix(organization, argument, arguments[2], limit)
                finds = [newest, queries.by_ids([document["_id"] for document in newest.documents(tasks)])]
            return explain(finds, tasks)

    def store_diagnose(self, deadline: float) -> Diagnosis:
        with within(deadline):
            self.check_store()
            return diagnose(self.connection)

    def store_after_fork(self) -> None:
        inherited.append(self.connection)
        self.renew()

    def is_unavailable(self, error: Exception) -> bool:
        return is_unavailable(error)

    def is_missing_schema(self, error: Exception) -> bool:
        return is_missing_schema(error)

    def setup_fault(self, error: Exception) -> str | None:
        return setup_fault(error, self.connection.database.name)
