"""Conversion of stored values to the rows of a lookup, written for speed alone."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import uuid_utils

Row = dict[str, Any]

EPOCH: Final = datetime.date(1970, 1, 1)
ROW_COLUMNS: Final = "id, module, label, status, progress, task_key, user_id, organization_id, created_at, updated_at"
PAYLOAD_FIELDS: Final = ("checkpoint", "result", "error", "confirmation", "function", "arguments")


class Days(dict[int, str]):
    """The text of each day since 1970, formatted once."""

    def __missing__(self, day: int) -> str:
        text = self[day] = f"{(EPOCH + datetime.timedelta(days=day)).isoformat()}T"
        return text


class Seconds(dict[int, str]):
    """The text of each second of a day, formatted once."""

    def __missing__(self, second: int) -> str:
        text = self[second] = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}."
        return text


class Identifiers(dict[str, "int | str | None"]):
    """The value of each stored id, parsed once."""

    def __missing__(self, text: str) -> int | str | None:
        value = self[text] = int(text) if text.isdigit() else text or None
        return value


days, seconds, identifiers = Days(), Seconds(), Identifiers()


def rows_of(stored: Iterable[Sequence[Any]]) -> list[Row]:
    rows = []
    for task_id, module, label, status, progress, task_key, user, organization, created_at, updated_at in stored:
        created, updated = created_at // 1_000_000, updated_at // 1_000_000
        rows.append(
            {
                "id": task_id,
                "module": module,
                "label": label,
                "status": status,
                "progress": progress,
                "task_key": task_key,
                "user_id": identifiers[user],
                "organization_id": identifiers[organization],
                "created_at": "%s%s%06d+00:00"  # noqa: UP031  # the fastest way to format it
                % (days[created // 86_400], seconds[created % 86_400], created_at % 1_000_000),
                "updated_at": "%s%s%06d+00:00"  # noqa: UP031  # the same
                % (days[updated // 86_400], seconds[updated % 86_400], updated_at % 1_000_000),
            }
        )
    return rows


class NewTask:
    """A new task, ready for a driver."""

    __slots__ = ("id", "key", "now", "organization", "user")

    label = "Background Task"
    module = "reports"
    status = "pending"

    def __init__(self, user_id: int, organization_id: int, task_key: str) -> None:
        self.id = str(uuid_utils.uuid7())
        self.user = str(user_id)
        self.organization = str(organization_id)
        self.key = task_key
        self.now = time.time_ns() // 1_000

    @property
    def columns(self) -> tuple[Any, ...]:
        """Return the ten fields of a row and the active key."""
        return (
            self.id,
            self.module,
            self.label,
            self.status,
            0.0,
            self.key,
            self.user,
            self.organization,
            self.now,
            self.now,
            self.key,
        )


INSERTED_COLUMNS: Final = f"{ROW_COLUMNS}, active_key"


def now() -> int:
    return time.time_ns() // 1_000


def encoded(result: object) -> str:
    return json.dumps(result, separators=(",", ":"))
