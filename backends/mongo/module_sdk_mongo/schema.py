"""The indexes that serve the lookups, and the version of the schema."""

from __future__ import annotations

from typing import Final

from bson.int64 import Int64
from pymongo import IndexModel

from module_sdk_mongo.connection import Connection, Document

SCHEMA_VERSION: Final = 1
SCHEMA_ID: Final = "schema"

BY_ID: Final = "_id_"
BY_USER: Final = "by_user"
BY_KEY: Final = "by_key"
BY_ACTIVE_KEY: Final = "by_active_key"
BY_CHANGE: Final = "by_change"
BY_CHANGE_IN_ORGANIZATION: Final = "by_change_in_organization"

INDEXES: Final = {
    BY_USER: IndexModel(["organization_id", "user_id", "created_at", "_id"], name=BY_USER),
    BY_KEY: IndexModel(["organization_id", "task_key", "created_at", "_id"], name=BY_KEY),
    BY_ACTIVE_KEY: IndexModel(
        ["organization_id", "active_key"],
        name=BY_ACTIVE_KEY,
        unique=True,
        partialFilterExpression={"active_key": {"$exists": True}},
    ),
    BY_CHANGE: IndexModel(["updated_at", "_id"], name=BY_CHANGE),
    BY_CHANGE_IN_ORGANIZATION: IndexModel(["organization_id", "updated_at", "_id"], name=BY_CHANGE_IN_ORGANIZATION),
}


def read_version(connection: Connection) -> object:
    """Return the schema version of the store, or `None` if it has none."""
    stored = connection.meta.find_one({"_id": SCHEMA_ID})
    return None if stored is None else stored.get("version")


def read_whole_version(connection: Connection) -> object:
    """Return what `read_version` returns, in a round trip that fails if the collection of tasks does not exist."""
    marker = {"coll": connection.meta.name, "pipeline": [{"$match": {"_id": SCHEMA_ID}}]}
    stages: list[Document] = [{"$collStats": {"count": {}}}, {"$unionWith": marker}, {"$match": {"_id": SCHEMA_ID}}]
    with connection.tasks.aggregate(stages) as found:
        return next((document.get("version") for document in found), None)


def missing_indexes(connection: Connection) -> list[str]:
    existing = connection.tasks.index_information()
    return [name for name in INDEXES if name not in existing]


def fault_of_options(connection: Connection) -> str | None:
    """Return which option of the collection of tasks would change its answers, or `None` if there is none.

    An administrator may have created the collection with such an option before `setup` ran.
    """
    options = connection.tasks.options()
    if "collation" in options:
        return f"compares texts by a collation ({options['collation'].get('locale')}), not by their bytes"
    return "is capped, so tasks vanish from it" if options.get("capped") else None


def build(connection: Connection) -> None:
    """Create what is missing. The version is written last, so that a store with a version is complete.

    Each step can be repeated, and several processes can run it at once.
    """
    if missing := missing_indexes(connection):
        connection.tasks.create_indexes([INDEXES[name] for name in missing])
    # $max keeps a newer version that another process has written meanwhile.
    connection.meta.update_one({"_id": SCHEMA_ID}, {"$max": {"version": Int64(SCHEMA_VERSION)}}, upsert=True)
