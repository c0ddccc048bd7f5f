"""The stored form of a task: what a backend's primitives take and give (DESIGN.md, "Storage rules").

Only text, integers, one float and `None`: ids of users and organizations are canonical text (no organization is the
empty text), times are integer microseconds, payloads are JSON text. `ROW_FIELDS` come first, in the order of a row.
"""

from __future__ import annotations

from typing import Final, NamedTuple


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


ROW_FIELDS: Final = StoredRow._fields
RECORD_FIELDS: Final = TaskRecord._fields
