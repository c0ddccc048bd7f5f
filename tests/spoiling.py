"""What no manager writes, for the hooks of several suites: records and files that cannot be read."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from pathlib import Path
from typing import Final

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
