"""A new task or a planned change as one update of one document, in the pipeline form, which can read stored fields."""

from __future__ import annotations

from typing import Any, Final

from bson.int64 import Int64

from module_sdk.backends import CLOCK_TOLERANCE, Change
from module_sdk_mongo.connection import Document
from module_sdk_mongo.records import TIME_FIELDS

# The server's time at the start of the command, in microseconds; its precision is a millisecond.
SERVER_CLOCK: Final = {"$multiply": [{"$toLong": "$$NOW"}, Int64(1_000)]}
EARLIEST: Final = {"$subtract": [SERVER_CLOCK, Int64(CLOCK_TOLERANCE)]}
LATEST: Final = {"$add": [SERVER_CLOCK, Int64(CLOCK_TOLERANCE)]}


def guard(task_id: str, organization: str | None, change: Change) -> Document:
    """Return the condition that the document must meet to be changed."""
    scope = {} if organization is None else {"organization_id": organization}
    return {"_id": task_id, "status": {"$in": list(change.allowed)}, **scope}


def bounded(moment: int) -> Document:
    """Return an expression for the moment, or for the nearest one within the tolerance of the server's clock."""
    return {"$min": [{"$max": [Int64(moment), EARLIEST]}, LATEST]}


def upsert_bounded(document: Document) -> list[Document]:
    """Return the equivalent of `$setOnInsert` for a new task, with times within the tolerance of the server's clock.

    An update cannot read other documents, so `created_at` may be before that of an earlier task of the key (ORDER-10).
    """
    times = {name: bounded(document[name]) for name in sorted(TIME_FIELDS & document.keys())}
    born = times.pop("created_at")
    following = {name: {"$max": ["$$born", time]} for name, time in times.items()}
    new = {"$mergeObjects": [{"$literal": document}, {"created_at": "$$born", **following}]}
    # This must not test a field of the condition: the server sets those in a new document before it runs the pipeline.
    is_new = {"$eq": [{"$type": "$updated_at"}, "missing"]}
    return [{"$replaceWith": {"$cond": [is_new, {"$let": {"vars": {"born": born}, "in": new}}, "$$ROOT"]}}]


def pipeline(change: Change, *, keeps_server_time: bool) -> list[Document]:
    now = bounded(change.now) if keeps_server_time else Int64(change.now)
    later = {"$max": [{"$add": ["$updated_at", Int64(1)]}, now]}
    # Without $literal, a text that begins with $ would be an expression.
    values: dict[str, Any] = {name: {"$literal": value} for name, value in change.fields.items() if value is not None}
    # Only the next stage can read what a stage sets.
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
