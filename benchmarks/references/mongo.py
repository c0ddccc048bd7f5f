"""MongoDB through pymongo: one find or one findAndModify, with an index hint and a journaled majority."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import pymongo
from bson.int64 import Int64
from pymongo import ReturnDocument, WriteConcern

from benchmarks.references.base import Reference
from benchmarks.references.rows import INSERTED_COLUMNS, ROW_COLUMNS, NewTask, Row, encoded, now, rows_of
from module_sdk.domain.record import RECORD_FIELDS, TaskRecord

NAMES = tuple("_id" if name == "id" else name for name in ROW_COLUMNS.split(", "))
INSERTED_NAMES = tuple("_id" if name == "id" else name for name in INSERTED_COLUMNS.split(", "))
RECORD_NAMES = tuple("_id" if name == "id" else name for name in RECORD_FIELDS)
TIMES = ("created_at", "updated_at", "started_at", "finished_at")
ACTIVE_STATUSES = ["pending", "running", "waiting_confirmation"]
PROJECTION = dict.fromkeys(NAMES, 1)
NEWEST_FIRST = [("created_at", -1), ("_id", -1)]
stored_of = itemgetter(*NAMES)


class MongoReference(Reference):
    def __init__(self, url: str, namespace: str) -> None:
        self.location = (url, namespace)
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url)
        database = self.client.get_default_database()
        concern = WriteConcern("majority", j=True)
        self.tasks = database.get_collection(f"{namespace}__tasks", write_concern=concern)

    def list_user_tasks(self, user_id: int, organization_id: int) -> list[Row]:
        condition = {"organization_id": str(organization_id), "user_id": str(user_id)}
        return self.rows(condition, "by_user")

    def get_tasks_by_key(self, task_key: str, organization_id: int) -> list[Row]:
        return self.rows({"organization_id": str(organization_id), "task_key": task_key}, "by_key")

    def rows(self, condition: dict[str, Any], index: str) -> list[Row]:
        found = self.tasks.find(condition, PROJECTION, sort=NEWEST_FIRST, hint=index, batch_size=100_000)
        return rows_of([stored_of(document) for document in found])

    def get_tasks_by_key_prefix(self, prefix: str, organization_id: int) -> list[Row]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        condition = {"organization_id": str(organization_id), "task_key": {"$gte": prefix, "$lt": end}}
        found = list(self.tasks.find(condition, PROJECTION, hint="by_key", batch_size=100_000))
        found.sort(key=itemgetter("created_at", "_id"), reverse=True)
        return rows_of([stored_of(document) for document in found])

    def create(self, task: NewTask) -> tuple[Row, bool]:
        document = dict(zip(INSERTED_NAMES, task.columns, strict=True))
        for name in TIMES[:2]:
            document[name] = Int64(document[name])
        condition = {"organization_id": task.organization, "active_key": task.key}
        insert = {"$setOnInsert": document}
        existing = self.tasks.find_one_and_update(condition, insert, upsert=True, hint="by_active_key")
        return rows_of([stored_of(existing or document)])[0], existing is None

    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        guard = {"_id": task_id, "status": {"$in": ACTIVE_STATUSES}, "organization_id": str(organization_id)}
        return self.changed(guard, [{"$set": {"updated_at": later(), "progress": progress}}])

    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        guard = {"_id": task_id, "status": "running", "organization_id": str(organization_id)}
        text = {"$literal": encoded(result)}
        fields = {"updated_at": later(), "status": "completed", "progress": 1.0, "result": text}
        moment, freed = {"$set": {"finished_at": "$updated_at"}}, {"$project": {"active_key": 0}}
        return self.changed(guard, [{"$set": fields}, moment, freed])

    def changed(self, guard: dict[str, Any], stages: Sequence[dict[str, Any]]) -> Row | None:
        document = self.tasks.find_one_and_update(
            guard, stages, projection=PROJECTION, return_document=ReturnDocument.AFTER, hint="_id_"
        )
        return None if document is None else rows_of([stored_of(document)])[0]

    def load(self, records: Sequence[TaskRecord]) -> None:
        self.tasks.insert_many([document_of(record) for record in records], ordered=False)

    def for_another_thread(self) -> Reference:
        return self

    def close(self) -> None:
        self.client.close()


def later() -> dict[str, Any]:
    return {"$max": [{"$add": ["$updated_at", Int64(1)]}, Int64(now())]}


def document_of(record: TaskRecord) -> dict[str, Any]:
    pairs = zip(RECORD_NAMES, record, strict=True)
    return {name: Int64(value) if name in TIMES else value for name, value in pairs if value is not None}
