"""Plans a change of a task: its fields, the statuses that allow it, and what follows from it (clauses LIFE).

A call may change any of `status`, `progress`, `label`, `checkpoint`, `result`, `error` and `confirmation` together, and
no combination of them is refused. The task must be active, and the move to a new status must be legal (`statuses.py`).
The status `completed` sets the progress to 1.0. Every status but `waiting_confirmation` clears the confirmation, unless
the call gives one. `updated_at`, `started_at`, `finished_at` and `active_key` follow from the change; no call changes
the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from module_sdk.domain.payloads import encode_payload
from module_sdk.domain.sentinels import UNSET, Unset
from module_sdk.domain.shapes import TaskStatus
from module_sdk.domain.statuses import ACTIVE, COMPLETED, FINAL, RUNNING, WAITING_CONFIRMATION, sources
from module_sdk.domain.task import check_error, check_progress, check_status
from module_sdk.domain.text_rules import MAXIMUM_LABEL_BYTES, check_text
from module_sdk.errors import InvalidInputError


class Change(NamedTuple):
    """A change that `store_update` applies in one atomic step."""

    now: int
    """The time of the writer's clock, in microseconds since 1970 UTC."""
    allowed: tuple[TaskStatus, ...]
    """The statuses from which the change may be made."""
    fields: Mapping[str, Any]
    """Stored values by field name, among `status, progress, label, checkpoint, result, error, confirmation`."""
    starts: bool = False
    ends: bool = False


def plan_change(
    *,
    now: int,
    maximum_payload_bytes: int,
    status: TaskStatus | Unset,
    progress: float | Unset,
    label: str | Unset,
    checkpoint: object,
    result: object,
    error: str | Unset | None,
    confirmation: object,
) -> Change:
    """Return the change. Raise `InvalidInputError` for a value that no task can have, or if no field is changed."""
    fields: dict[str, Any] = {}
    # One statement per field: a loop takes twice as long, and every report of progress runs this.
    if status is not UNSET:
        fields["status"] = check_status(status)
    if progress is not UNSET:
        fields["progress"] = check_progress(progress)
    if label is not UNSET:
        fields["label"] = check_text(label, "label", MAXIMUM_LABEL_BYTES)
    if error is not UNSET:
        fields["error"] = check_error(error)
    for name, value in (("checkpoint", checkpoint), ("result", result), ("confirmation", confirmation)):
        if value is not UNSET:
            fields[name] = encode_payload(value, name, maximum_payload_bytes)
    if not fields:
        raise InvalidInputError("name at least one field to change", field="fields")
    wanted = fields.get("status")
    return Change(now, ACTIVE, fields) if wanted is None else plan_move(now, wanted, fields)


def plan_move(now: int, wanted: TaskStatus, fields: dict[str, Any]) -> Change:
    """Return a change of status, with the fields that change along with it."""
    if wanted == COMPLETED:
        fields["progress"] = 1.0
    if wanted != WAITING_CONFIRMATION:
        fields.setdefault("confirmation", None)
    return Change(now, sources(wanted), fields, starts=wanted == RUNNING, ends=wanted in FINAL)
