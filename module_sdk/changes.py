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
    given = (
        ("status", status, check_status),
        ("progress", progress, check_progress),
        ("label", label, check_label),
        ("error", error, check_error),
    )
    fields: dict[str, Any] = {name: check(value) for name, value, check in given if value is not UNSET}
    for name, value in (("checkpoint", checkpoint), ("result", result), ("confirmation", confirmation)):
        if value is not UNSET:
            fields[name] = encode_payload(value, name, maximum_payload_bytes)
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


def check_label(value: object) -> str:
    return check_text(value, "label", MAXIMUM_LABEL_BYTES)
