"""Bugs that a stranger put into the MongoDB backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from module_sdk_mongo.conditions import query_document
from module_sdk_mongo.connection import within
from module_sdk_mongo.documents import document_of
from pymongo.errors import BulkWriteError

from module_sdk.backends import Explanation, Query, Sort, StoredRows, TaskConflictError, TaskRecord
from tests.mutants.mongo_stores import MongoMutant


class RacingImportRefused(MongoMutant):
    """Takes any duplicate for a held key, also a task that another import has just written."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        tasks = self.connection.tasks
        wanted: dict[str, TaskRecord] = {}
        for record in records:
            wanted.setdefault(record.id, record)
        with within(deadline):
            existing = {document["_id"] for document in tasks.find({"_id": {"$in": list(wanted)}}, {"_id": 1})}
            remaining = [document_of(record) for task_id, record in wanted.items() if task_id not in existing]
            try:
                return len(tasks.insert_many(remaining).inserted_ids) if remaining else 0
            except BulkWriteError as error:
                raise TaskConflictError("the key of an active task is held by another task") from error


class EstimatedCount(MongoMutant):
    """Counts everything by what the collection says of itself, which is wrong after a crash."""

    def store_count(self, query: Query, deadline: float) -> int:
        if query_document(query):
            return super().store_count(query, deadline)
        with within(deadline):
            return self.connection.tasks.estimated_document_count()


class ExplainsNothing(MongoMutant):
    """Says that nothing was examined and nothing is sent."""

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        found = super().store_explain(operation, arguments, limit, deadline)
        return dataclasses.replace(found, rows_examined=0, fields=())


class PagesWithoutDeadline(MongoMutant):
    """Pages, counts and gets wait for an hour."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        return super().store_page(query, sort, offset, limit, deadline + 3_600)

    def store_count(self, query: Query, deadline: float) -> int:
        return super().store_count(query, deadline + 3_600)

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        return super().store_get(task_id, organization, deadline + 3_600)
