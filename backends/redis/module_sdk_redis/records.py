"""Records as they lie in Redis: one NUL-separated string to be listed, one hash for the rest.

No text of a task contains NUL. Lua cuts and joins such a string without reading a number in it, and Python takes ten
of them apart in the time that JSON needs for two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from module_sdk.backends import RECORD_FIELDS, ROW_FIELDS, TaskBackendError, TaskRecord, statuses
from module_sdk_redis.schema import TIME_OFFSET, time_text, time_value

Row = tuple[Any, ...]
"""The fields of a `StoredRow`; making one with names takes a third longer, for each row of each lookup."""

SEPARATOR = "\0"
TEXT_PAYLOADS = ("checkpoint", "result", "error", "confirmation", "function", "arguments")
TIME_PAYLOADS = ("started_at", "finished_at")
FIRST_PAYLOAD = RECORD_FIELDS.index("active_key") + 1
NO_PAYLOADS = (None,) * (len(RECORD_FIELDS) - FIRST_PAYLOAD)


def pack(record: TaskRecord) -> str:
    """The ten fields of a row. An absent key is the empty text, which is no key."""
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
    """The rows of packed strings: `None` for what is not one, and nothing where there is no record."""
    rows: list[Row | None] = []
    # One loop, since a call for each record would take a quarter as long again.
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
    """The row of a packed string, or `None` if that is not one."""
    return unpack_all((packed,))[0]


def pack_payloads(record: TaskRecord) -> list[str]:
    """Names and values in turn, without those that are absent."""
    if record[FIRST_PAYLOAD:] == NO_PAYLOADS:  # as nearly every new task, and at a twentieth of the cost
        return []
    texts = ((name, getattr(record, name)) for name in TEXT_PAYLOADS)
    times = ((name, getattr(record, name)) for name in TIME_PAYLOADS)
    present = [(name, text) for name, text in texts if text is not None]
    present += [(name, time_text(moment)) for name, moment in times if moment is not None]
    return [part for pair in present for part in pair]


def unpack_record(task_id: str, packed: bytes, payloads: Sequence[bytes]) -> TaskRecord:
    """The whole record of a packed string and the flat content of its hash. Raises `TaskBackendError`."""
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
        raise TaskBackendError(f"the stored task {task_id} cannot be taken apart: {error}") from error


def pairs(flat: Iterable[bytes]) -> Iterable[tuple[str, str]]:
    parts = iter(flat)
    return ((name.decode(), value.decode()) for name, value in zip(parts, parts, strict=True))
