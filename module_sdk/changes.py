"""One change of a task, planned: what may be set together, from which statuses, and what follows (clauses LIFE)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from module_sdk.errors import InvalidInputError
from module_sdk.payloads import encode_payload
from module_sdk.sentinels import UNSET, Unset
from module_sdk.statuses import ACTIVE, COMPLETED, FINAL, RUNNING, WAITING_CONFIRMATION, sources
from module_sdk.task import check_error, check_progress, check_status
from module_sdk.text_rules import MAXIMUM_LABEL_BYTES, check_text


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What `store_update` applies in one step; see there."""

    now: int
    """Microseconds since 1970 UTC, by the writer's clock."""
    allowed: tuple[str, ...]
    """The statuses a task must have for it."""
    fields: Mapping[str, Any]
    """Stored values by name, of `status, progress, label, checkpoint, result, error, confirmation`."""
    starts: bool = False
    ends: bool = False


def plan_change(
    *,
    now: int,
    maximum_payload_bytes: int,
    status: str | Unset,
    progress: float | Unset,
    label: str | Unset,
    checkpoint: Any,
    result: Any,
    error: str | Unset | None,
    confirmation: Any,
) -> Change:
    """Raises `InvalidInputError` for a value that no task can have, and for a change of nothing."""
    given = {
        "status": (status, check_status),
        "progress": (progress, check_progress),
        "label": (label, lambda value: check_text(value, "label", MAXIMUM_LABEL_BYTES)),
        "error": (error, check_error),
        "checkpoint": (checkpoint, lambda value: encode_payload(value, "checkpoint", maximum_payload_bytes)),
        "result": (result, lambda value: encode_payload(value, "result", maximum_payload_bytes)),
        "confirmation": (confirmation, lambda value: encode_payload(value, "confirmation", maximum_payload_bytes)),
    }
    fields: dict[str, Any] = {name: check(value) for name, (value, check) in given.items() if value is not UNSET}
    if not fields:
        raise InvalidInputError("name at least one field to change", field="fields")
    wanted = fields.get("status")
    if wanted is None:
        return Change(now, ACTIVE, fields)
    if wanted == COMPLETED:
        fields["progress"] = 1.0
    if wanted != WAITING_CONFIRMATION:
        fields.setdefault("confirmation", None)
    return Change(now, sources(wanted), fields, starts=wanted == RUNNING, ends=wanted in FINAL)
