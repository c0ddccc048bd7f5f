"""The queries on the tasks: those of the lookups, each with the index that must serve it, and those of pages.

Without that hint, the planner used the user index for a limited prefix lookup, and read 300,000 documents.
"""

from __future__ import annotations

import dataclasses
import operator
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.cursor import Cursor

from module_sdk.backends import ROW_FIELDS
from module_sdk_mongo.connection import CODEC, Document, Order
from module_sdk_mongo.records import ROW_PROJECTION, Row, rows_of
from module_sdk_mongo.schema import BY_ID, BY_KEY, BY_USER

CREATED_AT, ID = ROW_FIELDS.index("created_at"), ROW_FIELDS.index("id")
NEWEST_FIRST: Final[Order] = [("created_at", -1), ("_id", -1)]
# The server's default for the first batch is 101 documents, which would cost another round trip.
BATCH_SIZE: Final = 5_000
HIGHEST_LIMIT: Final = 2**31 - 1
LENIENT_CODEC: Final = CODEC.with_options(unicode_decode_error_handler="replace")
RAW_CODEC: Final = CodecOptions(document_class=RawBSONDocument)


@dataclasses.dataclass(frozen=True, slots=True)
class Find:
    """One query on the tasks."""

    condition: Document
    index: str | None
    """`None` lets the planner choose by the filters; it may have to sort."""
    fields: Document = dataclasses.field(default_factory=lambda: ROW_PROJECTION)
    order: Order | None = None
    skip: int = 0
    limit: int | None = None

    def cursor(self, tasks: Collection[Any]) -> Cursor[Any]:
        return tasks.find(
            self.condition,
            self.fields,
            sort=self.order,
            hint=self.index,
            skip=self.skip,
            limit=min(self.limit or 0, HIGHEST_LIMIT),
            batch_size=BATCH_SIZE,
            allow_disk_use=True if self.index is None else None,
        )

    def documents(self, tasks: Collection[Document]) -> list[Document]:
        """Return all documents. One that the driver cannot decode has only its id, so that it yields no row."""
        try:
            with self.cursor(tasks) as cursor:
                return cursor.to_list()
        except InvalidBSON:
            return self.decodable_documents(tasks)

    def rows(self, tasks: Collection[Document]) -> list[Row]:
        """Return the rows of all documents.

        Only one batch of documents is in memory at a time, because documents take twice the memory of rows.
        """
        rows: list[Row] = []
        try:
            with self.cursor(tasks) as cursor:
                while True:
                    chunk = cursor.to_list(BATCH_SIZE)
                    rows += rows_of(chunk)
                    if len(chunk) < BATCH_SIZE:
                        return rows
        except InvalidBSON:
            return rows_of(self.decodable_documents(tasks))

    def decodable_documents(self, tasks: Collection[Document]) -> list[Document]:
        with self.cursor(tasks.with_options(codec_options=RAW_CODEC)) as cursor:
            return [decoded(document) for document in cursor]


def by_user(organization: str, user: str, limit: int | None) -> Find:
    condition = {"organization_id": organization, "user_id": user}
    return Find(condition, BY_USER, order=NEWEST_FIRST, limit=limit)


def by_key(organization: str, key: str, limit: int | None) -> Find:
    condition = {"organization_id": organization, "task_key": key}
    return Find(condition, BY_KEY, order=NEWEST_FIRST, limit=limit)


def by_prefix(organization: str, start: str, end: str | None) -> Find:
    """Return a query for all tasks of the range, in the order of the index; `newest_first` sorts its rows."""
    return Find(key_range(organization, start, end), BY_KEY)


def newest_ids_by_prefix(organization: str, start: str, end: str | None, limit: int) -> Find:
    """Return a query for the ids of the newest tasks of the range, which reads only the index."""
    condition = key_range(organization, start, end)
    return Find(condition, BY_KEY, fields={"_id": 1}, order=NEWEST_FIRST, limit=limit)


def by_ids(ids: list[str]) -> Find:
    return Find({"_id": {"$in": ids}}, BY_ID)


def key_range(organization: str, start: str, end: str | None) -> Document:
    # A comparison with text matches only texts, so a task without a key is in no range.
    keys = {"$gte": start} if end is None else {"$gte": start, "$lt": end}
    return {"organization_id": organization, "task_key": keys}


def newest_first(rows: list[Row]) -> list[Row]:
    """Sort the rows into the order of a lookup, and return the same list.

    They are sorted here because the server would sort whole documents, including payloads.
    """
    # A failed comparison is not a sufficient check: NaN can be compared, but has no order.
    are_sortable = {type(row[CREATED_AT]) for row in rows} <= {Int64}
    rows.sort(key=operator.itemgetter(CREATED_AT, ID) if are_sortable else moment, reverse=True)
    return rows


def moment(row: Row) -> tuple[int, str]:
    created_at, task_id = row[CREATED_AT], row[ID]
    # An unreadable record is sorted last.
    return (created_at, task_id) if isinstance(created_at, int) and isinstance(task_id, str) else (-(2**63), "")


def decoded(document: RawBSONDocument) -> Document:
    try:
        return bson.decode(document.raw, CODEC)
    except InvalidBSON:
        return {"_id": bson.decode(document.raw, LENIENT_CODEC).get("_id")}
