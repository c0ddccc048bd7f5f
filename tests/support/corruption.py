"""Changes to stores that no manager makes: unreadable records, broken files and dropped tables and collections."""

from __future__ import annotations

import contextlib
import itertools
import math
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import bson
from bson.int64 import Int64
from module_sdk_memory.manager import MemoryTaskManager
from module_sdk_mongo.manager import MongoTaskManager
from module_sdk_mongo.records import document_field
from module_sdk_redis.manager import RedisTaskManager
from module_sdk_redis.schema import TIME_OFFSET, time_text
from module_sdk_sql.manager import SQLTaskManager

from module_sdk.backends import ROW_FIELDS, TaskManager
from module_sdk.domain.timestamps import FIRST, LAST

IMPOSSIBLE: Final[tuple[tuple[str, Any], ...]] = (
    ("progress", 7.0),
    ("status", "lost"),
    ("updated_at", 0),
    ("module", ""),
    ("progress", -1.0),
    ("id", "no UUID"),
    ("progress", math.inf),
    ("label", "two\0fields"),
    ("progress", math.nan),
    ("created_at", LAST + 1),
    ("updated_at", LAST + 1),
    ("created_at", FIRST - 1),
    ("status", "RUNNING"),
    ("module", "m" * 256),
    ("module", "a\0b"),
    ("module", "\ud800"),
    ("label", "l" * 1_025),
    ("label", "é" * 513),
    ("label", "\udfff"),
    ("user_id", ""),
    ("user_id", "u" * 256),
    ("user_id", "a\0b"),
    ("task_key", "k" * 1_025),
    ("task_key", ""),
    ("task_key", "k\0"),
    ("id", "A0000000-0000-4000-8000-000000000000"),
    ("id", "x0000000-0000-4000-8000-000000000000"),
    ("id", "00000000-0000-4000-8000-0000000000000"),
)
"""A field, and a value of the field's type that no task can have. Every store accepts the first of them."""
HELD_BY_EVERY_STORE: Final = 5

OF_OTHER_TYPES: Final[tuple[Any, ...]] = (
    None, True, 5, 1.5, b"bytes", ["text"], {"a": 1}, bson.ObjectId(), bson.Code("code"), bson.Regex("r"),
    bson.Decimal128("0.5"), bson.Timestamp(1, 1), bson.MaxKey(), Int64(1),
)  # fmt: skip
"""Values of other types, for stores without typed columns."""
IN_REDIS: Final = (("label", b"two\0fields"), ("progress", b"half"), ("label", b"\xff"))
"""Values that only a store of packed texts accepts: a field too many, a text that is not a number, invalid UTF-8."""
SPOILT: Final = itertools.cycle(IMPOSSIBLE[:HELD_BY_EVERY_STORE])
SPOILT_IN_REDIS: Final = itertools.cycle((*IN_REDIS, *IMPOSSIBLE[:HELD_BY_EVERY_STORE]))
LONGEST_SECONDS: Final = 10.0


def spoil_somehow(manager: TaskManager, task_id: str) -> None:
    """Make a stored record unreadable, in a different way each time."""
    spoil(manager, task_id, *next(SPOILT_IN_REDIS if isinstance(manager, RedisTaskManager) else SPOILT))


def spoil(manager: TaskManager, task_id: str, field: str, value: Any) -> None:
    """Write a value into a field of a stored record, bypassing the manager.

    Raise the driver's error if the store refuses the value.
    """
    if isinstance(manager, MemoryTaskManager):
        records = manager.tables.records
        records[task_id] = records[task_id]._replace(**{field: value})
    elif isinstance(manager, SQLTaskManager):
        update = f"UPDATE {manager.tables.tasks_name} SET {field} = :value WHERE id = :id"  # both names are ours
        statement = manager.statements.render(update)
        arguments = statement.bind({"value": value, "id": task_id})
        manager.pool.execute(statement.sql, arguments, time.monotonic() + LONGEST_SECONDS)
    elif isinstance(manager, RedisTaskManager):
        spoil_redis(manager, task_id, field, value)
    elif isinstance(manager, MongoTaskManager):
        tasks = manager.connection.tasks
        if field == "id":
            document = tasks.find_one_and_delete({"_id": task_id})
            tasks.insert_one({**(document or {}), "_id": value})
        else:
            tasks.update_one({"_id": task_id}, {"$set": {document_field(field): value}})


def spoil_redis(manager: RedisTaskManager, task_id: str, field: str, value: Any) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    name = manager.layout.record(task_id)
    parts = manager.router.read("GET", name, deadline=deadline).split(b"\0")
    if field in ("created_at", "updated_at") and value >= -TIME_OFFSET:
        value = time_text(value)
    parts[ROW_FIELDS.index(field)] = value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
    manager.router.read("SET", name, b"\0".join(parts), deadline=deadline)


def scrambled_file(folder: Path) -> str:
    """Write an SQLite file of which only the header is valid, and return its URL."""
    path = folder / "dead.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE something (other)")
    header = path.read_bytes()[:100]
    path.write_bytes(header.ljust(path.stat().st_size, b"\xa5"))
    return f"sqlite:///{path}"


def dumped_tables(manager: SQLTaskManager) -> Iterator[object]:
    """Yield the existing tables of the manager's namespace and their rows, over its own connections."""
    statement = manager.statements.has_table()
    deadline = time.monotonic() + LONGEST_SECONDS
    for name in manager.tables.names:
        try:
            exists = manager.pool.fetch(statement.sql, statement.bind({"name": name}), deadline)
        except sqlite3.OperationalError:  # the file does not exist
            return
        if exists:
            yield name
            yield from manager.pool.fetch(f"SELECT * FROM {name}", (), deadline)


def dumped_collections(manager: MongoTaskManager) -> Iterator[object]:
    """Yield the existing collections of the manager's namespace and their documents."""
    database = manager.connection.database
    for name in database.list_collection_names():
        if name.startswith(f"{manager.options.namespace}__"):
            yield name
            yield from database[name].find()


def drop_tables(manager: SQLTaskManager) -> None:
    """Drop all tables of the manager's namespace, over its own connections."""
    for name in manager.tables.names:
        manager.pool.execute(f"DROP TABLE {name}", (), time.monotonic() + 10)


def drop_collections(manager: MongoTaskManager) -> None:
    """Drop both collections of the manager's namespace."""
    manager.connection.tasks.drop()
    manager.connection.meta.drop()
