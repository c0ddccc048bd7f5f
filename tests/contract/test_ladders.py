"""The values of each field reveal each usual wrong order and comparison, so tests that use them are able to fail."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import pytest
from module_sdk_contract.data.ladders import COUNT, ladder_tasks, values_of
from module_sdk_contract.data.reference import STATUSES, Fields, Reference, order_key, recorded

Rank = Callable[[Any], Any]

TEXT_RANKS: Final[dict[str, Rank]] = {
    "folds case": str.casefold,
    "UTF-16": lambda text: text.encode("utf-16-be"),
    "length first": lambda text: (len(text), text),
    "NFC": lambda text: unicodedata.normalize("NFC", text),
    "pads": lambda text: text.rstrip(" "),
    "without punctuation": lambda text: "".join(filter(str.isalnum, text)),
    "the first 64 characters": lambda text: text[:64],
    "numbers by size": lambda text: (not text.isdecimal(), int(text) if text.isdecimal() else 0, text),
    "signed bytes": lambda text: [byte - 256 if byte > 127 else byte for byte in text.encode()],
}
RANKS: Final[dict[str, dict[str, Rank]]] = {
    "module": TEXT_RANKS | {"the first 254": lambda text: text[:254]},
    "label": TEXT_RANKS | {"the first 254": lambda text: text[:254], "the first 1,000": lambda text: text[:1_000]},
    "task_key": TEXT_RANKS | {"the first 254": lambda text: text[:254], "the first 1,000": lambda text: text[:1_000]},
    "user_id": TEXT_RANKS,
    "organization_id": TEXT_RANKS,
    "status": {"rank": STATUSES.index},
    "progress": {
        "text": repr,
        "short text": lambda number: f"{number:g}",
        "fixed": lambda number: round(number, 6),
        "32 bits": lambda number: struct.unpack("<f", struct.pack("<f", number))[0],
        "per cent": lambda number: int(number * 100),
    },
    "created_at": {
        "text": str,
        "milliseconds": lambda moment: moment // 1_000,
        "seconds": lambda moment: moment / 1_000_000,
        "floats": float,
        "size": abs,
    },
    "updated_at": {"text": str, "milliseconds": lambda moment: moment // 1_000, "floats": float, "size": abs},
    "id": {"groups reversed": lambda text: text.split("-")[::-1]},
}
CASES: Final = [
    pytest.param(field, rank, id=f"{field}: {name}") for field, ranks in RANKS.items() for name, rank in ranks.items()
]


def ladder() -> list[Fields]:
    return [recorded(task) for task in ladder_tasks()]


@pytest.mark.parametrize(("field", "rank"), CASES)
def test_the_values_reveal_a_usual_wrong_order_of_a_field(field: str, rank: Rank) -> None:
    def wrong(task: Fields) -> Any:
        is_present, value, task_id = order_key(task, field)
        return (is_present, rank(value) if is_present else 0, task_id)

    tasks = [task for task in ladder() if task[field] is not None]

    assert sorted(tasks, key=wrong) != sorted(tasks, key=lambda task: order_key(task, field))


@pytest.mark.parametrize("field", ["created_at", "module", "label", "task_key", "user_id", "status", "progress"])
def test_the_values_reveal_an_order_by_another_field(field: str) -> None:
    tasks = ladder()
    right = sorted(tasks, key=lambda task: order_key(task, field))

    for other in {"created_at", "updated_at", "label", "id"} - {field}:
        assert sorted(tasks, key=lambda task: order_key(task, other)) != right, other


@pytest.mark.parametrize("field", ["task_key", "organization_id"])
def test_a_field_is_absent_in_several_tasks(field: str) -> None:
    assert sum(task[field] is None for task in ladder()) > 1


def test_the_tasks_can_be_imported() -> None:
    assert Reference().import_all(list(ladder_tasks())) == (COUNT, None)


@pytest.mark.parametrize("field", ["module", "label", "task_key", "user_id", "organization_id", "status"])
def test_every_value_of_a_field_is_in_a_task(field: str) -> None:
    present = {task[field] for task in ladder()}

    assert present == set(values_of(field))
