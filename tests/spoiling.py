"""What no manager does, for the hooks of several suites: unreadable records and files, and stores that are emptied."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from module_sdk_mongo.manager import MongoTaskManager
    from module_sdk_sql.manager import SQLTaskManager

# Places of a record and what they hold then: a field too many, a progress that is no number, a label that is no UTF-8.
SPOILT: Final = itertools.cycle(((2, b"two\0fields"), (4, b"half"), (2, b"\xff")))


def spoilt_record(packed: bytes) -> bytes:
    """A record of Redis that is unreadable, in another way each time."""
    parts = packed.split(b"\0")
    place, value = next(SPOILT)
    parts[place] = value
    return b"\0".join(parts)


def scrambled_file(folder: Path) -> str:
    """The URL of a file of SQLite of which only the header is whole."""
    path = folder / "dead.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE something (other)")
    header = path.read_bytes()[:100]
    path.write_bytes(header.ljust(path.stat().st_size, b"\xa5"))
    return f"sqlite:///{path}"


def drop_tables(manager: SQLTaskManager) -> None:
    """Drop all tables of the manager's namespace, over its own connections."""
    for name in manager.tables.names:
        manager.pool.execute(f"DROP TABLE {name}", (), time.monotonic() + 10)


def drop_collections(manager: MongoTaskManager) -> None:
    """Drop both collections of the manager's namespace."""
    manager.connection.tasks.drop()
    manager.connection.meta.drop()
