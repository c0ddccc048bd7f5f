"""The stored form of a task: what a backend's primitives take and give (DESIGN.md, "Storage rules").

Only text, integers, one float and `None`: ids of users and organizations are canonical text (no organization is the
empty text), times are integer microseconds, payloads are JSON text. `ROW_FIELDS` come first, in the order of a row.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from module_sdk.domain.timestamps import HORIZON, LAST


class StoredRow(NamedTuple):
    """The ten listed fields, as stored. A lookup or page returns these, or any plain sequence in this order."""

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
    """A whole task, as stored."""

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
    """The key while the task is active, `None` once it has ended: unique within an organization."""
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
        """Up to when earlier tasks of its key count for a new task, by the clock that it brings (ORDER-11)."""
        return min(self.created_at + HORIZON, LAST - 1)

    def is_of_one_moment(self) -> bool:
        """Whether its times are all the same, as those of a new task are."""
        moment = self.created_at
        return self.updated_at == moment and self.started_at in (None, moment) and self.finished_at in (None, moment)

    def after(self, newest: int | None) -> TaskRecord:
        """The new task, created after `newest`, the latest `created_at` of its key up to its horizon (ORDER-10).

        Its other times follow where they would be before it.
        """
        if newest is None or newest < self.created_at:
            return self
        moment = newest + 1
        others = {name: max(moment, time) for name in FOLLOWING_TIMES if (time := getattr(self, name)) is not None}
        return self._replace(created_at=moment, **others)


ROW_FIELDS: Final = StoredRow._fields
RECORD_FIELDS: Final = TaskRecord._fields
FOLLOWING_TIMES: Final = ("updated_at", "started_at", "finished_at")
"""Times that are never before `created_at`."""
