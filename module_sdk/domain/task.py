"""The class `Task`, whose instances are always valid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self, cast

from module_sdk.domain.payloads import (
    DEFAULT_MAXIMUM_BYTES,
    HIGHEST_MAXIMUM_BYTES,
    PAYLOAD_FIELDS,
    decode_payload,
    encode_payload,
    is_exact_json,
    plain_payload,
)
from module_sdk.domain.record import TaskRecord
from module_sdk.domain.rows import UNREADABLE, row_from_stored
from module_sdk.domain.scopes import organization_text
from module_sdk.domain.shapes import Identifier, Json, TaskDict, TaskRow, TaskStatus, TaskView
from module_sdk.domain.statuses import ACTIVE, PENDING, STATUSES
from module_sdk.domain.text_rules import (
    MAXIMUM_KEY_BYTES,
    MAXIMUM_LABEL_BYTES,
    MAXIMUM_MODULE_BYTES,
    check_identifier,
    check_text,
    identifier_text,
    is_task_id,
    new_task_id,
    plain_text,
    storable_error,
    task_id_text,
)
from module_sdk.domain.timestamps import check_time, format_time, parse_time, system_clock
from module_sdk.errors import InvalidInputError, TaskBackendError

VIEW_FIELDS = ("checkpoint", "result", "error", "started_at", "finished_at", "confirmation")
TIME_FIELDS = ("created_at", "updated_at", "started_at", "finished_at")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of background work. Times are integer microseconds since 1970 UTC; payloads are JSON.

    Raises `InvalidInputError` for a value that no task can have. Payloads are checked when they are written to a store,
    and dates, UUIDs, dataclasses and the like are converted then: a store returns plain JSON.
    """

    id: str
    module: str
    label: str
    status: TaskStatus = PENDING
    progress: float = 0.0
    task_key: str | None = None
    user_id: Identifier
    organization_id: Identifier | None = None
    created_at: int
    updated_at: int
    started_at: int | None = None
    finished_at: int | None = None
    checkpoint: Json = None
    result: Json = None
    error: str | None = None
    confirmation: Json = None
    function: str | None = None
    """The name of the registered function that the task runs, if it was started by name."""
    arguments: Json = None

    @classmethod
    def new(
        cls,
        *,
        user_id: Identifier,
        organization_id: Identifier | None = None,
        module: str,
        label: str = "Background Task",
        task_key: str | None = None,
        now: int | None = None,
        function: str | None = None,
        arguments: object = None,
    ) -> Self:
        """Return a new pending task with a new id.

        If a process makes two tasks without `now`, the later one also has the greater id.

        Args:
            user_id: An integer, text or a UUID.
            organization_id: An integer, text or a UUID; `None` means no organization.
            module: 1 to 255 bytes of UTF-8.
            label: At most 1,024 bytes of UTF-8.
            task_key: At most 1,024 bytes of UTF-8; `""` means no key.
            now: The time of creation in microseconds since 1970 UTC. The default is the host's clock.
            function: The name of the registered function to run.
            arguments: The arguments of that function, as JSON.

        Raises:
            InvalidInputError: A field has a value that no task can have.
        """
        if now is None:
            with system_clock.lock:
                created_at, task_id = system_clock(), new_task_id()
        else:
            created_at, task_id = now, new_task_id()
        return cls(
            id=task_id,
            module=module,
            label=label,
            task_key=task_key,
            user_id=user_id,
            organization_id=organization_id,
            created_at=created_at,
            updated_at=created_at,
            function=function,
            arguments=arguments,
        )

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "id", task_id_text(self.id, "id"))
        if not is_task_id(self.id):
            raise InvalidInputError("id must be a UUID in canonical lower-case form", field="id")
        set_field(self, "module", check_text(self.module, "module", MAXIMUM_MODULE_BYTES, minimum=1))
        set_field(self, "label", check_text(self.label, "label", MAXIMUM_LABEL_BYTES))
        set_field(self, "status", check_status(self.status))
        set_field(self, "progress", check_progress(self.progress))
        set_field(self, "task_key", check_key(self.task_key))
        set_field(self, "user_id", check_identifier(self.user_id, "user_id"))
        if self.organization_id is not None:
            set_field(self, "organization_id", check_identifier(self.organization_id, "organization_id"))
        check_time(self.created_at, "created_at")
        check_not_before(self.created_at, self.updated_at, "updated_at")
        if self.started_at is not None:
            check_not_before(self.created_at, self.started_at, "started_at")
        if self.finished_at is not None:
            check_not_before(self.created_at, self.finished_at, "finished_at")
        if self.error is not None:
            set_field(self, "error", check_error(self.error))
        if self.function is not None:
            set_field(self, "function", check_text(self.function, "function", MAXIMUM_KEY_BYTES, minimum=1))

    @property
    def is_active(self) -> bool:
        """Whether the task is pending, running or waiting for a confirmation. Only such a task holds its key."""
        return self.status in ACTIVE

    def to_row(self) -> TaskRow:
        """Return the ten fields that lookups return."""
        return {
            "id": self.id,
            "module": self.module,
            "label": self.label,
            "status": self.status,
            "progress": self.progress,
            "task_key": self.task_key,
            # `__post_init__` has turned a UUID into text.
            "user_id": cast("int | str", self.user_id),
            "organization_id": cast("int | str | None", self.organization_id),
            "created_at": format_time(self.created_at),
            "updated_at": format_time(self.updated_at),
        }

    def to_view(self) -> TaskView:
        """Return the row with `checkpoint, result, error, started_at, finished_at, confirmation` added (ROW-06)."""
        fields = self.fields_with_times_as_text()
        del fields["function"], fields["arguments"]
        return cast("TaskView", fields)

    def to_dict(self) -> TaskDict:
        """Return every field as plain JSON, with times as ISO 8601 text. `from_dict` turns it into an equal task.

        Raises:
            PayloadError: A payload that was never written to a store is not JSON or is too large.
        """
        fields = self.fields_with_times_as_text()
        for name in PAYLOAD_FIELDS:
            fields[name] = plain_payload(fields[name], name, HIGHEST_MAXIMUM_BYTES)
        return cast("TaskDict", fields)

    def fields_with_times_as_text(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in TIME_FIELDS:
            fields[name] = None if fields[name] is None else format_time(fields[name])
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Self:
        """Return the task of a `TaskDict` or a `TaskView`.

        Raises:
            InvalidInputError: A field is missing or unknown, or has a value that no task can have.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name in fields:
            if name not in known:
                raise InvalidInputError(f"{name!r} is not a field of a task", field=str(name))
        for name, field in known.items():
            if name not in fields and field.default is dataclasses.MISSING:
                raise InvalidInputError(f"{name} is missing", field=name)
        values: dict[str, Any] = dict(fields)
        for name in TIME_FIELDS:
            if values.get(name) is not None:
                values[name] = parse_time(values[name], name)
        return cls(**values)

    def to_record(self, maximum_payload_bytes: int = DEFAULT_MAXIMUM_BYTES) -> TaskRecord:
        """Return the stored form. Raise `PayloadError` for a payload that is not JSON, too deep or too large."""
        return TaskRecord(
            id=self.id,
            module=self.module,
            label=self.label,
            status=self.status,
            progress=self.progress,
            task_key=self.task_key,
            user_id=identifier_text(self.user_id, "user_id"),
            organization_id=organization_text(self.organization_id),
            created_at=self.created_at,
            updated_at=self.updated_at,
            active_key=self.task_key if self.is_active else None,
            started_at=self.started_at,
            finished_at=self.finished_at,
            checkpoint=encode_payload(self.checkpoint, "checkpoint", maximum_payload_bytes),
            result=encode_payload(self.result, "result", maximum_payload_bytes),
            error=self.error,
            confirmation=encode_payload(self.confirmation, "confirmation", maximum_payload_bytes),
            function=self.function,
            arguments=encode_payload(self.arguments, "arguments", maximum_payload_bytes),
        )

    def as_recorded(self, record: TaskRecord) -> Self:
        """Return this task as a store returns it: itself, unless `record` has a payload that was converted to JSON."""
        for payload in (self.arguments, self.checkpoint, self.result, self.confirmation):
            if payload is not None and not is_exact_json(payload):
                return self.from_record(record)
        return self

    @classmethod
    def from_record(cls, record: TaskRecord) -> Self:
        """Return the task of a record. Raise `TaskBackendError` for a record that no version of this code wrote."""
        if not isinstance(record, TaskRecord):
            raise TaskBackendError(f"the store returned {type(record).__name__} instead of a TaskRecord")
        try:
            fields: dict[str, Any] = {**row_from_stored(record.row())}
            fields |= {name: getattr(record, name) for name in (*TIME_FIELDS, "error", "function")}
            fields |= {name: decode_payload(getattr(record, name)) for name in PAYLOAD_FIELDS}
            return cls(**fields)
        except UNREADABLE as error:
            raise TaskBackendError(f"the stored task {record[0]} cannot be read: {error}") from error


def check_not_before(created_at: int, value: object, field: str) -> None:
    if check_time(value, field) < created_at:
        raise InvalidInputError(f"{field} must not be before created_at", field=field)


def check_status(value: object) -> TaskStatus:
    status = plain_text(value, "status")
    if status not in STATUSES:
        raise InvalidInputError(f"status must be one of {', '.join(sorted(STATUSES))}", field="status")
    return status


def check_progress(value: object) -> float:
    """Return the progress, clamped to 0..1. Raise `InvalidInputError` for NaN, infinities and other types (LIFE-04)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInputError(f"progress must be a number, not {type(value).__name__}", field="progress")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError("progress must be a finite number", field="progress")
    # Clamped before the conversion: float() overflows on large integers. Adding 0.0 turns -0.0 into 0.0.
    return float(min(max(value, 0), 1)) + 0.0


def check_error(value: object) -> str | None:
    return None if value is None else storable_error(plain_text(value, "error"))


def check_key(value: object) -> str | None:
    """Return the key, or `None` if there is none. The empty text means no key (KEY-03)."""
    return None if value is None else check_text(value, "task_key", MAXIMUM_KEY_BYTES) or None
