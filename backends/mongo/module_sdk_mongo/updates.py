"""A new task or a planned change as one update of one document, in the pipeline form, which can read what is stored."""

from __future__ import annotations

from typing import Any, Final

from bson.int64 import Int64

from module_sdk.backends import CLOCK_TOLERANCE, Change
from module_sdk_mongo.connection import Document
from module_sdk_mongo.records import TIME_FIELDS

# Of the moment when the command began, in whole milliseconds.
SERVER_CLOCK: Final = {"$multiply": [{"$toLong": "$$NOW"}, Int64(1_000)]}
EARLIEST: Final = {"$subtract": [SERVER_CLOCK, Int64(CLOCK_TOLERANCE)]}
LATEST: Final = {"$add": [SERVER_CLOCK, Int64(CLOCK_TOLERANCE)]}


def guard(task_id: str, organization: str | None, change: Change) -> Document:
    """Which document may be changed; no other is."""
    scope = {} if organization is None else {"organization_id": organization}
    return {"_id": task_id, "status": {"$in": list(change.allowed)}, **scope}


def bounded(moment: int) -> Document:
    """The moment, brought close to the server's clock."""
    return {"$min": [{"$max": [Int64(moment), EARLIEST]}, LATEST]}


def upsert_bounded(document: Document) -> list[Document]:
    """`$setOnInsert` of a new task, whose times are brought close to the server's clock.

    No update can see other documents, so the task may be created before an earlier one of its key (ORDER-10).
    """
    times = {name: bounded(document[name]) for name in sorted(TIME_FIELDS & document.keys())}
    born = times.pop("created_at")
    following = {name: {"$max": ["$$born", time]} for name, time in times.items()}
    new = {"$mergeObjects": [{"$literal": document}, {"created_at": "$$born", **following}]}
    # Not by a field of the condition, which the server puts into a new document before it runs this.
    is_new = {"$eq": [{"$type": "$updated_at"}, "missing"]}
    return [{"$replaceWith": {"$cond": [is_new, {"$let": {"vars": {"born": born}, "in": new}}, "$$ROOT"]}}]


def pipeline(change: Change, *, keeps_server_time: bool) -> list[Document]:
    now = bounded(change.now) if keeps_server_time else Int64(change.now)
    later = {"$max": [{"$add": ["$updated_at", Int64(1)]}, now]}
    # $literal: a text that begins with $ would otherwise be an expression.
    values: dict[str, Any] = {name: {"$literal": value} for name, value in change.fields.items() if value is not None}
    # What a stage sets, only the next one can read.
    following: dict[str, Any] = {}
    if change.starts:
        following["started_at"] = {"$ifNull": ["$started_at", "$updated_at"]}
    if change.ends:
        following["finished_at"] = "$updated_at"
    absent = [name for name, value in change.fields.items() if value is None]
    if change.ends:
        absent.append("active_key")
    stages: list[Document] = [{"$set": {"updated_at": later, **values}}]
    if following:
        stages.append({"$set": following})
    if absent:
        stages.append({"$project": dict.fromkeys(absent, 0)})
    return stages
