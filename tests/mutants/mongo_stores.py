"""Mutants of the MongoDB backend, on a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any
from unittest import mock

from module_sdk_mongo import lookups, manager
from module_sdk_mongo.documents import document_of
from module_sdk_mongo.manager import MongoTaskManager
from module_sdk_mongo.updates import pipeline

from module_sdk.backends import Change, StoredRows, TaskRecord
from tests.mutants.bases import Opened


class MongoMutant(Opened, MongoTaskManager):
    """A good store in MongoDB."""

    def pattern(self, start: str) -> dict[str, Any] | None:
        """The condition on the key that a family is found by, in the place of a range."""
        return None

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        pattern = self.pattern(start)
        if pattern is None:
            return super().store_find_by_prefix(organization, start, end, limit, deadline)
        condition = {"organization_id": organization, "task_key": pattern}
        found = lookups.Find(condition, None).rows(self.connection.tasks)
        return lookups.newest_first(found)[:limit]


class RegexInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        # A pattern that cannot be compiled is searched for as it stands.
        try:
            re.compile(start)
        except re.error:
            return {"$regex": f"^{re.escape(start)}"}
        return {"$regex": f"^{start}"}


class UnanchoredInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        return {"$regex": re.escape(start), "$exists": True}


class AnchoredByLineInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        return {"$regex": f"^{re.escape(start)}", "$options": "m"}


class CaselessInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        return {"$regex": f"^{re.escape(start)}", "$options": "i"}


class NullsInMongo(MongoMutant):
    """Writes fields that are absent as null, which the unique index takes for a key."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        with mock.patch.object(manager, "document_of", with_nulls):
            return super().store_create(record, deadline)


class MillisecondsInMongo(MongoMutant):
    """Times as dates, which have milliseconds."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        written = record._replace(created_at=record.created_at // 1_000 * 1_000)
        standing = super().store_create(written, deadline)
        return record if standing == written else standing


class ExpressionsInMongo(MongoMutant):
    """Values of an update as they are: a text that begins with a dollar names a field."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with mock.patch.object(manager, "pipeline", without_literals):
            return super().store_update(task_id, organization, change, deadline)


class CheckThenInsertInMongo(MongoMutant):
    """Looks for a holder, waits 5 ms, and inserts a document that holds nothing."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        held = {"organization_id": record.organization_id, "task_key": record.task_key}
        active = {"status": {"$in": ["pending", "running", "waiting_confirmation"]}}
        tasks = self.connection.tasks
        holder = None if record.active_key is None else tasks.find_one({**held, **active})
        if holder is not None:
            standing = self.store_get(holder["_id"], None, deadline)
            return standing or record
        time.sleep(0.005)
        super().store_create(record._replace(active_key=None), deadline)
        return record


class WholeDocumentWritten(MongoMutant):
    """Reads the document, waits 5 ms, and replaces it, unless the status changes."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or "status" in change.fields or record.status not in change.allowed:
            return super().store_update(task_id, organization, change, deadline)
        time.sleep(0.005)
        changed = record._replace(**change.fields, updated_at=max(change.now, record.updated_at + 1))
        self.connection.tasks.replace_one({"_id": task_id}, document_of(changed))
        return changed.row()


def with_nulls(record: TaskRecord) -> dict[str, Any]:
    return {**document_of(record), "active_key": record.active_key}


def without_literals(change: Change, *, keeps_server_time: bool) -> list[dict[str, Any]]:
    stages = pipeline(change, keeps_server_time=keeps_server_time)
    stages[0]["$set"] = {
        name: value["$literal"] if isinstance(value, dict) and "$literal" in value else value
        for name, value in stages[0]["$set"].items()
    }
    return stages
