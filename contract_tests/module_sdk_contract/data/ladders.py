"""Tasks whose values reveal each usual wrong order and each usual wrong comparison of every field.

A store may sort or compare a single column by a wrong rule, so each field needs its own values: texts for orders by
length, by number, by locale, in UTF-16 and by a prefix; numbers for orders as text and with fewer digits; times for
orders as text, as floats and in milliseconds.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any, Final

from module_sdk_contract.data.reference import ACTIVE, STATUSES, Fields

NOON: Final = 1_709_208_000_000_000
"""2024-02-29 12:00 UTC, in microseconds."""
END_OF_TIME: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""

TEXTS: Final = (
    "a", "A", "b", "B", "z", "Z", "ab", "a b", "a-b", "a_b", "a.b", "a ", "a\x01", "a\x7f", " a", "_", "~", "a%", "a\\",
    "10", "9", "1e-05", "e", "f", "é", "e\u0301", "s", "ss", "ß", "t", "\ud7ff", "\ue000", "\uffff", "\U00010000", "😀",
    "\U0010ffff", "k" * 64 + "b", "k" * 64 + "a", "k" * 254 + "b", "k" * 254 + "a", "k" * 253,
)  # fmt: skip
IDENTIFIERS: Final = (
    10, 9, 100, -1, -10, 0, "9a", "007", "a", "A", "a ", "B", "b", "e\u0301", "é", "z", "\ue000", "\uffff", "😀",
    2**63, 2**64, "~", "k" * 64 + "b", "k" * 64 + "a", "k" * 200 + "b", "k" * 200 + "a", "ann@example.org",
)  # fmt: skip
PROGRESS: Final = (
    0.0, 5e-324, 1e-07, 1e-05, 0.00012, 0.09, 0.1, 0.3, 0.1 + 0.2, 0.25, 0.5, 1 / 3, 0.33, 0.9999999999999999, 1.0,
    0.05, 0.123456781, 0.12345678,
)  # fmt: skip
MOMENTS: Final = (
    NOON, NOON + 1, NOON - 1, NOON + 999, NOON + 1_000, NOON + 1_000_000, 0, 5, -1, -1_000_000, 999_999_999_999,
    1_000_000_000_000, END_OF_TIME - 2_000, END_OF_TIME - 2_001, END_OF_TIME - 2_002, 2**53 + 1, 2**53,
)  # fmt: skip
CHANGES_AFTER: Final = (0, 1, 0, 7, 1_000, 3, 2)
"""The time from the creation of a task to its last change, in microseconds."""
NEEDLES: Final = (
    "", "a", "A", "a ", " ", "e", "é", "e\u0301", "\u0301", "1", "k" * 64, "-", "_", "%", "\\",
    "\x01", "\ud7ff", "\ue000",
    "\uffff", "\U00010000", "😀",
    "\U0010ffff", "ss", "ß",
)  # fmt: skip
LONG: Final = ("k" * 1_022 + "b", "k" * 1_022 + "a")
LABELS: Final = ("", *TEXTS, *LONG)
KEYS: Final = (*TEXTS[:20], None, *TEXTS[20:], *LONG, None)
SEED: Final = 7
COUNT: Final = 2 * len(TEXTS)


def ladder_tasks() -> Iterator[Fields]:
    """Yield tasks with every value of every field, most of them twice. They are not in the order of any field.

    The ids are the same in every run, because a wrong order that treats different values as equal can come out right by
    chance of their ids.
    """
    numbers = random.Random(SEED)  # noqa: S311  # the same ids each time
    organizations: tuple[Any, ...] = (None, *IDENTIFIERS, None)
    active_keys: set[tuple[Any, Any]] = set()
    for index in range(COUNT):
        key, organization = step(KEYS, index, 17), step(organizations, index, 8)
        status = step(STATUSES, index, 5)
        if status in ACTIVE and key is not None:
            status = "failed" if (organization, key) in active_keys else status
            active_keys.add((organization, key))
        created_at = step(MOMENTS, index, 3)
        yield {
            "id": str(uuid.UUID(int=numbers.getrandbits(128))),
            "module": step(TEXTS, index, 7),
            "label": step(LABELS, index, 13),
            "status": status,
            "progress": step(PROGRESS, index, 5),
            "task_key": key,
            "user_id": step(IDENTIFIERS, index, 10),
            "organization_id": organization,
            "created_at": created_at,
            "updated_at": created_at + step(CHANGES_AFTER, index, 1),
        }


def step(values: tuple[Any, ...], index: int, stride: int) -> Any:
    """Return the value at `index` strides. A stride coprime to the number of values visits all before repeating one."""
    return values[index * stride % len(values)]


def values_of(field: str) -> tuple[Any, ...]:
    """Return the values of a field that exact filters can name, each once."""
    if field in ("module", "label"):
        return TEXTS if field == "module" else LABELS
    if field == "task_key":
        return (None, *TEXTS, *LONG)
    if field == "user_id":
        return IDENTIFIERS
    return (None, *IDENTIFIERS) if field == "organization_id" else STATUSES
