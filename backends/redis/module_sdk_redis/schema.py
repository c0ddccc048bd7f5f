"""The names of Redis keys and the members of indexes.

All Redis keys of a namespace begin with `{<namespace>}:`, so that a cluster keeps them in one hash slot and one script
can make every change. A text of a user is the last part of a name or follows its own length in bytes, so that no two
names are equal. `lua/records.lua` builds the names that a script can only derive from a record, and the name of the
string with the id of a key's holder.
"""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 1

# Added to a time, it makes 18 digits for all years from 1 to 9999, so that texts sort in order of time.
TIME_OFFSET: Final = 10**17
ID_LENGTH: Final = 36
MOMENT_LENGTH: Final = 18 + ID_LENGTH


def time_text(microseconds: int) -> str:
    return f"{microseconds + TIME_OFFSET:018d}"


def time_value(text: str | bytes) -> int:
    return int(text) - TIME_OFFSET


class Layout:
    """The names of the Redis keys of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.prefix = f"{{{namespace}}}:"
        self.schema = f"{self.prefix}schema"
        self.records = f"{self.prefix}t:"

    def record(self, task_id: str) -> str:
        """Return the name of a string with the ten fields of a row."""
        return self.records + task_id

    def payloads(self, task_id: str) -> str:
        """Return the name of a hash with the other fields of a task."""
        return f"{self.prefix}p:{task_id}"

    def by_user(self, organization: str, user: str) -> str:
        """Return the name of a sorted set of moments: 18 digits of `created_at`, then the id."""
        return f"{self.prefix}u:{len(organization.encode())}:{organization}:{user}"

    def by_key(self, organization: str) -> str:
        """Return the name of a sorted set of key, NUL and moment."""
        return f"{self.prefix}k:{organization}"

    def pages(self, organization: str | None) -> str:
        """Return the name of a sorted set of moments of `updated_at`; `None` means all organizations."""
        return f"{self.prefix}all" if organization is None else f"{self.prefix}o:{organization}"
