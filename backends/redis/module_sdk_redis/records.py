"""Records as Redis stores them: a NUL-separated string with the fields of a row, and a hash with the other fields.

No text of a task contains NUL. Lua splits and joins such a string without converting a number, and Python parses ten of
them in the time that it takes to parse two in JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from module_sdk.backends import RECORD_FIELDS, ROW_FIELDS, TaskBackendError, TaskRecord, statuses
from module_sdk_redis.schema import TIME_OFFSET, time_text, time_value

Row = tuple[Any, ...]
"""The fields of a `StoredRow`, without their names: a named tuple would take a third longer per row of a lookup."""

SEPARATOR = "\0"
TEXT_PAYLOADS = ("checkpoint", "result", "error", "confirmation", "function", "arguments")
TIME_PAYLOADS = ("started_at", "finished_at")
FIRST_PAYLOAD = RECORD_FIELDS.index("active_key") + 1
NO_PAYLOADS = (None,) * (len(RECORD_FIELDS) - FIRST_PAYLOAD)


def pack(record: TaskRecord) -> str:
    """Return the ten fields of a row as one string. The empty text means no key, since no key is empty."""
    return SEPARATOR.join(
        (
            record.id,
            record.module,
            record.label,
            record.status,
            repr(record.progress),
            record.task_key or "",
            record.user_id,
            record.organization_id,
            time_text(record.created_at),
            time_text(record.updated_at),
        )
    )


def unpack_all(records: Iterable[bytes | None]) -> list[Row | None]:
    """Return the rows of packed strings: `None` for a string that cannot be parsed, and no row for a missing record."""
    rows: list[Row | None] = []
    # One loop: a call per record would take a quarter longer.
    for packed in records:
        if packed is None:
            continue
        try:
            task_id, module, label, status, progress, key, user, organization, created, updated = packed.decode().split(
                SEPARATOR
            )
            row = (
                task_id,
                module,
                label,
                status,
                float(progress),
                key or None,
                user,
                organization,
                int(created) - TIME_OFFSET,
                int(updated) - TIME_OFFSET,
            )
        except ValueError:
            rows.append(None)
        else:
            rows.append(row)
    return rows


def unpack(packed: bytes) -> Row | None:
    """Return the row of a packed string, or `None` if it cannot be parsed."""
    return unpack_all((packed,))[0]


def pack_payloads(record: TaskRecord) -> list[str]:
    """Return the names and values of all payloads and times that are present, alternating."""
    if record[FIRST_PAYLOAD:] == NO_PAYLOADS:  # fast path for nearly every new task, at a twentieth of the cost
        return []
    texts = ((name, getattr(record, name)) for name in TEXT_PAYLOADS)
    times = ((name, getattr(record, name)) for name in TIME_PAYLOADS)
    present = [(name, text) for name, text in texts if text is not None]
    present += [(name, time_text(moment)) for name, moment in times if moment is not None]
    return [part for pair in present for part in pair]


def unpack_record(task_id: str, packed: bytes, payloads: Sequence[bytes]) -> TaskRecord:
    """Return the record of a packed string and the alternating names and values of its hash.

    Raises `TaskBackendError` if they cannot be parsed.
    """
    row = unpack(packed)
    try:
        if row is None:
            raise ValueError("it does not have ten fields")
        fields: dict[str, Any] = dict.fromkeys(RECORD_FIELDS) | dict(zip(ROW_FIELDS, row, strict=True))
        fields |= {name: text for name, text in pairs(payloads) if name in TEXT_PAYLOADS}
        fields |= {name: time_value(text) for name, text in pairs(payloads) if name in TIME_PAYLOADS}
        fields["active_key"] = fields["task_key"] if fields["status"] in statuses.ACTIVE else None
        return TaskRecord(**fields)
    except ValueError as error:
        raise TaskBackendError(f"the stored task {task_id} cannot be parsed: {error}") from error


def pairs(flat: Iterable[bytes]) -> Iterable[tuple[str, str]]:
    parts = iter(flat)
    return ((name.decode(), value.decode()) for name, value in zip(parts, parts, strict=True))
