"""`MongoTaskManager`: the primitives of a task manager in MongoDB, in the order of `store/primitives.py`."""

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
    ModuleSDKError,
    Query,
    Sort,
    StoredRows,
    TaskBackendError,
    TaskBackendUnavailableError,
    TaskConflictError,
    TaskManager,
    TaskRecord,
    Workers,
    statuses,
)
from module_sdk_mongo import queries, schema
from module_sdk_mongo.connection import CLOSE_SECONDS, Connection, Document, within
from module_sdk_mongo.diagnosis import diagnose
from module_sdk_mongo.errors import configuration_fault, is_missing_schema, is_unavailable, lacks_majority
from module_sdk_mongo.explain import explain
from module_sdk_mongo.filters import order_of, query_document
from module_sdk_mongo.queries import Find
from module_sdk_mongo.records import ROW_PROJECTION, document_of, record_of, row_of
from module_sdk_mongo.updates import guard, pipeline, upsert_bounded

Result = TypeVar("Result")

logger = logging.getLogger("module_sdk.tasks")

# hint for findAndModify and delete, and allowDiskUse for find.
OLDEST_SERVER: Final = (4, 4)
# The key of a holder that ends can be taken by another between two looks at it.
ATTEMPTS: Final = 100
DUPLICATE_KEY: Final = 11000
# How late the driver may be to end a call at its deadline.
GRACE_SECONDS: Final = 0.1

# An answer is refused where the server was looked at longer ago: another host may have become the primary, and an empty
# collection may be one that was dropped.
LOOK_SECONDS: Final = 0.5
# MongoDB makes a collection that does not exist when something is inserted, so that is looked at just before; each time
# would take half as long again as the insert itself.
LOOK_BEFORE_INSERT_SECONDS: Final = 0.02

# What a child inherited is neither used nor closed by it: closing would end the parent's sessions.
inherited: list[Connection] = []


class MongoTaskManager(TaskManager):
    """Tasks in a MongoDB database; docs/choosing-a-store.md says which options there are, and the limits."""

    capabilities = Capabilities(shared=True, durable=True, server=True, explain=True, bounded=True)

    connection_class: ClassVar[type[Connection]] = Connection

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        super().__init__(url, options)
        self.options.refuse_unknown()
        self.renew()
        self.connection.open()

    # --- The driver's threads ---------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Begin with a client of its own, and threads of its own to use it."""
        self.connection = self.connection_class(self.url, self.options)
        self.looked_at = -math.inf
        self.workers = Workers(self.options.max_connections, "module-sdk-mongo", grace_seconds=GRACE_SECONDS)

    def call_open(self, primitive: Callable[..., Result], *args: Any) -> Result:
        result: Result = super().call_open(self.on_worker, primitive, *args)
        return result

    def on_worker(self, primitive: Callable[..., Result], *args: Any) -> Result:
        """Run a primitive on a thread of ours; its last argument is the deadline.

        The driver has locks, and Python code that runs while it holds them. What a signal's handler raises there would
        leave them held, and a lookup that the handler makes would wait for its own thread.
        """
        workers = self.workers
        try:
            return workers.run(functools.partial(primitive, *args), args[-1])
        except TaskBackendUnavailableError as error:
            if workers.are_stuck() and workers is self.workers:
                logger.error("the driver of %s has not come back in time: it gets a new client", self.url)
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
        try:
            with within(deadline):
                self.check_server()
                self.check_schema(create)
            self.looked_at = time.monotonic()
        except Exception as error:
            fault = configuration_fault(error, self.connection.database.name)
            if fault is None:
                raise
            raise ConfigurationError(f"{self.url}: {fault} ({self.describe_error(error)})") from error

    def check_server(self) -> None:
        client = self.connection.database.client
        version = tuple(client.server_info()["versionArray"][:2])
        if version < OLDEST_SERVER:
            raise ConfigurationError(f"{self.url} is MongoDB {version[0]}.{version[1]}: 4.4 or later is needed")
        self.connection.check_role()

    def check_schema(self, create: bool) -> None:
        if fault := schema.fault_of_options(self.connection):
            raise ConfigurationError(f"{self.url}: the collection {self.connection.tasks.name} {fault}")
        found = schema.read_version(self.connection)
        if found is not None and not isinstance(found, int):
            raise ConfigurationError(f"{self.url}: {self.connection.meta.name} holds no version: {found!r}")
        if found is not None and found > schema.SCHEMA_VERSION:
            raise self.newer_schema(found, schema.SCHEMA_VERSION)
        if found == schema.SCHEMA_VERSION and not schema.missing_indexes(self.connection):
            return
        if not create:
            raise self.missing_schema()
        schema.build(self.connection)
        # Another process may have been newer.
        self.check_schema(create=False)

    def store_ping(self, deadline: float) -> None:
        with within(deadline):
            self.look()

    def store_close(self) -> None:
        # The driver says goodbye to the server, for which it takes its locks; the other threads may all be busy.
        closing = Workers(1, "module-sdk-mongo-close")
        with contextlib.suppress(LateError):
            closing.run(self.connection.close, time.monotonic() + 2 * CLOSE_SECONDS)
        closing.close()
        self.workers.close()

    def looking(self, deadline: float, most_seconds: float = LOOK_SECONDS) -> AbstractContextManager[None]:
        """`within`, on a server that was looked at no more than so many seconds ago."""
        if time.monotonic() - self.looked_at > most_seconds:
            with within(deadline):
                self.look()
        return within(deadline)

    def look(self) -> None:
        """See that the server is the primary, and that nobody has emptied the store. Raises what `store_open` would."""
        began = time.monotonic()
        self.connection.check_role()
        found = schema.read_whole_version(self.connection)
        if found != schema.SCHEMA_VERSION:
            self.check_schema(create=False)
        self.looked_at = began

    # --- One task ---------------------------------------------------------------------------------------------------

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        document = document_of(record)
        # By an index of ours that has all of it: one that the server makes for a collection that was dropped lacks that
        # index, so nothing goes in there.
        condition: Document = {name: document[name] for name in ("organization_id", "user_id", "created_at", "_id")}
        index = schema.BY_USER
        if record.active_key is not None:
            condition = {"organization_id": record.organization_id, "active_key": record.active_key}
            index = schema.BY_ACTIVE_KEY
        tasks = self.connection.tasks
        change: Document | list[Document] = {"$setOnInsert": document}
        # What stood there before: nothing if the document went in, which need not travel back.
        answer = ReturnDocument.BEFORE
        if self.keeps_server_time:
            change, answer = upsert_bounded(document), ReturnDocument.AFTER
        with self.looking(deadline, LOOK_BEFORE_INSERT_SECONDS):
            for _ in range(ATTEMPTS):
                standing: Document | None = None
                # The id exists, or another writer took the key at this very moment.
                with contextlib.suppress(DuplicateKeyError):
                    standing = tasks.find_one_and_update(
                        condition, change, upsert=True, hint=index, return_document=answer
                    )
                    if standing is None:
                        return record
                if standing is None or standing["_id"] != record.id:
                    standing = tasks.find_one({"_id": record.id}, hint=schema.BY_ID) or standing
                if standing is not None:
                    return record_of(standing)
        raise TaskBackendError(f"the key of task {record.id} changed hands {ATTEMPTS} times in a row")

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        tasks = self.connection.tasks
        with self.looking(deadline, 0):
            wanted: dict[str, TaskRecord] = {}
            for record in records:
                wanted.setdefault(record.id, record)
            present = tasks.find({"_id": {"$in": list(wanted)}}, {"_id": 1}, hint=schema.BY_ID)
            existing = {document["_id"] for document in present}
            remaining = [document_of(record) for task_id, record in wanted.items() if task_id not in existing]
            written = 0
            while remaining:
                try:
                    # In order: what comes after a held key must not go in.
                    return written + len(tasks.insert_many(remaining).inserted_ids)
                except BulkWriteError as error:
                    if lacks_majority(error) or error.details["writeErrors"][0]["code"] != DUPLICATE_KEY:
                        raise
                    failure = error.details["writeErrors"][0]
                written += failure["index"]
                refused, *remaining = remaining[failure["index"] :]
                # Another import of the same task forgives; a key that another task holds does not.
                if tasks.find_one({"_id": refused["_id"]}, {"_id": 1}, hint=schema.BY_ID) is None:
                    raise TaskConflictError(f"the key of the active task {refused['_id']} is held by another task")
        return written

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        condition = {"_id": task_id} if organization is None else {"_id": task_id, "organization_id": organization}
        with self.looking(deadline):
            document = self.connection.tasks.find_one(condition, hint=schema.BY_ID)
            if document is None:
                # What is told of an unknown id lasts: the end of work is not recorded any more.
                self.look()
        return None if document is None else record_of(document)

    # --- Lookups ----------------------------------------------------------------------------------------------------

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        with self.looking(deadline):
            return queries.by_user(organization, user, limit).rows(self.connection.tasks)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        with self.looking(deadline):
            return queries.by_key(organization, key, limit).rows(self.connection.tasks)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        tasks = self.connection.tasks
        with self.looking(deadline):
            if limit is None:
                return queries.newest_first(queries.by_prefix(organization, start, end).rows(tasks))
            newest = queries.newest_ids_by_prefix(organization, start, end, limit)
            while True:
                ids = [document["_id"] for document in newest.documents(tasks)]
                rows = queries.by_ids(ids).rows(tasks) if ids else []
                # Where one has been pruned in between, another is the newest in its place.
                if len(rows) == len(ids):
                    return queries.newest_first(rows)

    # --- Changes ----------------------------------------------------------------------------------------------------

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with self.looking(deadline):
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
        with self.looking(deadline):
            return self.connection.tasks.bulk_write(updates, ordered=False).matched_count

    # --- The read model ---------------------------------------------------------------------------------------------

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        condition, order = query_document(query), order_of(sort)
        tasks = self.connection.tasks
        with self.looking(deadline):
            if not offset:
                return Find(condition, None, order=order, limit=limit).rows(tasks)
            # Ids first, so that what is skipped is not read where an index has the order.
            chosen = Find(condition, None, fields={"_id": 1}, order=order, skip=offset, limit=limit).documents(tasks)
            ids = [document["_id"] for document in chosen]
            found = Find({"$and": [{"_id": {"$in": ids}}, condition]}, schema.BY_ID).documents(tasks)
        by_id = {document["_id"]: row_of(document) for document in found}
        # What has been pruned or changed in between, and is no longer selected, is missing.
        return [by_id[task_id] for task_id in ids if task_id in by_id]

    def store_count(self, query: Query, deadline: float) -> int:
        condition = query_document(query)
        with self.looking(deadline):
            if not condition:
                return self.connection.tasks.count_documents(condition, hint=schema.BY_ID)
            return self.connection.tasks.count_documents(condition)

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        ended: Document = {"status": {"$in": list(statuses.FINAL)}}
        condition: Document = {**ended, "updated_at": {"$lt": before}}
        index = schema.BY_CHANGE
        if organization is not None:
            condition["organization_id"], index = organization, schema.BY_CHANGE_IN_ORGANIZATION
        if user is not None:
            condition["user_id"] = user
        tasks = self.connection.tasks
        removed = 0
        with self.looking(deadline):
            # More than once only where another process prunes the same tasks.
            while removed < batch_size:
                wanted = batch_size - removed
                old = Find(condition, index, fields={"_id": 1}, limit=wanted).documents(tasks)
                ids = [document["_id"] for document in old]
                removed += tasks.delete_many({"_id": {"$in": ids}, **ended}, hint=schema.BY_ID).deleted_count
                if len(ids) < wanted:
                    break
        return removed

    # --- Insight ----------------------------------------------------------------------------------------------------

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        tasks = self.connection.tasks
        organization, argument = str(arguments[0]), str(arguments[1])
        with self.looking(deadline):
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
            self.look()
            return diagnose(self.connection)

    def store_after_fork(self) -> None:
        inherited.append(self.connection)
        self.renew()

    def translate_error(self, error: Exception) -> ModuleSDKError:
        if is_missing_schema(error):
            return self.missing_schema()
        kind = TaskBackendUnavailableError if is_unavailable(error) else TaskBackendError
        return kind(self.describe_error(error))
