"""A planned change as one update of one document, in the pipeline form, which can read what is stored."""

from __future__ import annotations

from typing import Any

from bson.int64 import Int64

from module_sdk.backends import Change
from module_sdk_mongo.connection import Document


def guard(task_id: str, organization: str | None, change: Change) -> Document:
    """Which document may be changed; no other is."""
    scope = {} if organization is None else {"organization_id": organization}
    return {"_id": task_id, "status": {"$in": list(change.allowed)}, **scope}


def pipeline(change: Change) -> list[Document]:
    later = {"$max": [{"$add": ["$updated_at", Int64(1)]}, Int64(change.now)]}
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
