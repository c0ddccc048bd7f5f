"""The names of keys and the members of indexes.

All keys of a namespace begin with `{<namespace>}:`, so that a cluster keeps them in one hash slot and every change can
be one script. Texts of users come last in a name, or with their length in bytes before them, so that no two names
meet. `lua/records.lua` builds the names that a script learns only from a record, and that of the string with the id of
the active task that holds a key of an organization.
"""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 1

# Puts the years 1 to 9999 into 18 digits, so that text sorts as time does.
TIME_OFFSET: Final = 10**17
ID_LENGTH: Final = 36
MOMENT_LENGTH: Final = 18 + ID_LENGTH


def time_text(microseconds: int) -> str:
    return f"{microseconds + TIME_OFFSET:018d}"


def time_value(text: str | bytes) -> int:
    return int(text) - TIME_OFFSET


class Layout:
    """The keys of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.prefix = f"{{{namespace}}}:"
        self.schema = f"{self.prefix}schema"
        self.records = f"{self.prefix}t:"

    def record(self, task_id: str) -> str:
        """A string: the ten listed fields."""
        return self.records + task_id

    def payloads(self, task_id: str) -> str:
        """A hash: everything else that the task has."""
        return f"{self.prefix}p:{task_id}"

    def by_user(self, organization: str, user: str) -> str:
        """A sorted set of moments: 18 digits of `created_at`, then the id."""
        return f"{self.prefix}u:{len(organization.encode())}:{organization}:{user}"

    def by_key(self, organization: str) -> str:
        """A sorted set of key, NUL and moment."""
        return f"{self.prefix}k:{organization}"

    def pages(self, organization: str | None) -> str:
        """A sorted set of moments of `updated_at`; `None` for every organization."""
        return f"{self.prefix}all" if organization is None else f"{self.prefix}o:{organization}"
