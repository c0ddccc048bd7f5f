"""The stored form of a task, which a backend's primitives take and return.

It contains only text, integers, one float and `None`. The ids of users and organizations are canonical text (the empty
text means no organization), times are integer microseconds, payloads are JSON text. The fields of `ROW_FIELDS` come
first, in the order of a row.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from module_sdk.domain.timestamps import HORIZON, LAST


class StoredRow(NamedTuple):
    """The ten fields of a row, as stored. A primitive may also return any plain sequence in this order."""

    id: str
    module: str
    label: str
    status: str
    progress: float
    task_key: str | None
    user_id: str
    organization_id: str
    created_at: int
    updated_at: int


class TaskRecord(NamedTuple):
    """All fields of a task, as stored."""

    id: str
    module: str
    label: str
    status: str
    progress: float
    task_key: str | None
    user_id: str
    organization_id: str
    created_at: int
    updated_at: int
    active_key: str | None
    """The key while the task is active, `None` once it has ended. Unique within an organization."""
    started_at: int | None
    finished_at: int | None
    checkpoint: str | None
    result: str | None
    error: str | None
    confirmation: str | None
    function: str | None
    arguments: str | None

    def row(self) -> StoredRow:
        return StoredRow._make(self[: len(ROW_FIELDS)])

    def horizon(self) -> int:
        """Return the latest `created_at` of an earlier task of the key that a new task must still follow (ORDER-11)."""
        return min(self.created_at + HORIZON, LAST - 1)

    def is_of_one_moment(self) -> bool:
        """Return whether all its times are equal, as they are in a new task."""
        moment = self.created_at
        return self.updated_at == moment and self.started_at in (None, moment) and self.finished_at in (None, moment)

    def after(self, newest: int | None) -> TaskRecord:
        """Return this new task, moved to after `newest` if necessary (ORDER-10).

        `newest` is the latest `created_at` of its key up to its horizon. Other times that would be before the new
        `created_at` are moved to it.
        """
        if newest is None or newest < self.created_at:
            return self
        moment = newest + 1
        others = {name: max(moment, time) for name in FOLLOWING_TIMES if (time := getattr(self, name)) is not None}
        return self._replace(created_at=moment, **others)


ROW_FIELDS: Final = StoredRow._fields
RECORD_FIELDS: Final = TaskRecord._fields
FOLLOWING_TIMES: Final = ("updated_at", "started_at", "finished_at")
"""Times that must not be before `created_at`."""
