"""A record with a value that no task can have is unreadable and never returned, on every store (clause FAIL-10)."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from module_sdk_memory.manager import MemoryTaskManager
from module_sdk_mongo.manager import MongoTaskManager
from module_sdk_redis.manager import RedisTaskManager

from module_sdk.backends import Task, TaskBackendError, TaskManager, TaskRecord
from module_sdk.domain.payloads import decode_payload, encode_payload
from module_sdk.domain.rows import row_from_stored, rows_from_stored
from module_sdk.domain.timestamps import FIRST, LAST
from module_sdk.errors import ModuleSDKError
from tests.support.corruption import HELD_BY_EVERY_STORE, IMPOSSIBLE, OF_OTHER_TYPES, spoil

STORES: Final = ("memory", "sqlite", "postgresql", "mariadb", "valkey", "mongodb")
FIELDS: Final = ("module", "label", "status", "progress", "created_at", "updated_at")
"""The fields by which no lookup selects."""


@pytest.fixture(params=STORES)
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, opened: Callable[..., TaskManager]
) -> TaskManager:
    embedded = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'tasks.db'}"}
    url = embedded.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    return opened(url, namespace=namespace)


def impossible_values(manager: TaskManager) -> Iterator[tuple[str, Any]]:
    """Yield the field and value of each case that this store may be able to contain."""
    for field, value in IMPOSSIBLE:
        # In Redis the empty text means no key.
        if not (isinstance(manager, RedisTaskManager) and (field, value) == ("task_key", "")):
            yield field, value
    if isinstance(manager, MemoryTaskManager | MongoTaskManager):
        for field, value in itertools.product(FIELDS, OF_OTHER_TYPES):
            is_time = isinstance(value, int) and not isinstance(value, bool) and field == "created_at"
            if not is_time:
                yield field, value


@pytest.mark.timeout(300)
def test_no_call_returns_an_impossible_value(manager: TaskManager) -> None:
    spoilt = []
    for organization, (field, value) in enumerate(impossible_values(manager), 1):
        # given an organization with two readable tasks
        fields: dict[str, Any] = {"user_id": 7, "organization_id": organization, "module": "tests"}
        good, bad = (manager.create(Task.new(**fields, task_key=key))[0] for key in ("job.good", "job.bad"))
        # when another program writes an impossible value into one of them, which the store may refuse
        if not is_spoilt(manager, bad, field, value):
            continue
        spoilt.append((field, value))

        then_only_the_good_task_is_returned(manager, organization, good, field)
        then_no_call_by_id_returns_the_bad_task(manager, bad, field)
    assert spoilt[:HELD_BY_EVERY_STORE] == list(IMPOSSIBLE[:HELD_BY_EVERY_STORE])


def is_spoilt(manager: TaskManager, bad: Task, field: str, value: Any) -> bool:
    """Write the value into the stored task. Return whether the store accepted it."""
    try:
        spoil(manager, bad.id, field, value)
    except Exception:  # each driver raises its own type
        return False
    return True


def then_only_the_good_task_is_returned(manager: TaskManager, organization: int, good: Task, field: str) -> None:
    """Assert that lookups and pages return the good task as plain JSON, and count the bad one if they select it."""
    for rows in (
        manager.list_user_tasks(7, organization),
        manager.get_tasks_by_key_prefix("job.", organization),
        manager.get_tasks_by_key_prefix("", organization, limit=2),
        manager.page(organization_id=organization),
    ):
        assert [row["id"] for row in rows] == [good.id]
        # A record whose user or key was changed is not in an index under the old value any more.
        assert rows.skipped == 1 or (rows.skipped == 0 and field in ("user_id", "task_key"))
        json.dumps(rows, allow_nan=False)
    for sort in ("progress", "-created_at", "status"):
        assert [row["id"] for row in manager.page(sort=sort, organization_id=organization)] == [good.id]
    for rows in (
        manager.list_user_tasks(8, organization),
        manager.get_tasks_by_key("job.good", organization),
        manager.get_tasks_by_key_prefix("job.g", organization),
    ):
        assert rows.skipped == 0


def then_no_call_by_id_returns_the_bad_task(manager: TaskManager, bad: Task, field: str) -> None:
    """Assert that a bad record is not found if its id was changed; else calls raise or an update repairs it."""
    with contextlib.suppress(TaskBackendError):
        assert manager.get(bad.id) is None
        assert field == "id"
    try:
        row = manager.update(bad.id, label="renamed")
    except ModuleSDKError:
        return
    assert (row is None) == (field == "id")
    assert field in ("id", "label", "updated_at")
    json.dumps(row, allow_nan=False)


# --- The rules for records --------------------------------------------------------------------------------------------


def a_record(**changes: Any) -> TaskRecord:
    record = Task.new(user_id=7, organization_id=3, module="tests", task_key="job", now=1).to_record()
    return record._replace(**changes)


@pytest.mark.parametrize(("field", "value"), IMPOSSIBLE)
def test_rows_and_tasks_refuse_the_same_values(field: str, value: Any) -> None:
    record = a_record(**{field: value})

    with pytest.raises((TypeError, ValueError)):
        row_from_stored(record.row())
    with pytest.raises(TaskBackendError):
        Task.from_record(record)
    assert rows_from_stored([record.row(), a_record().row()]).skipped == 1


@pytest.mark.parametrize("field", ["user_id", "organization_id", "id", "task_key", *FIELDS])
@pytest.mark.parametrize("value", [True, False, b"bytes", ["text"], {"a": 1}, Decimal(1), math.nan], ids=repr)
def test_a_field_of_a_wrong_type_makes_a_record_unreadable(field: str, value: Any) -> None:
    assert rows_from_stored([a_record(**{field: value}).row()]).skipped == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"created_at": FIRST, "updated_at": LAST},
        {"created_at": -1, "updated_at": -1},
        {"created_at": 0, "updated_at": 1},
        {"progress": 0.0},
        {"progress": 1.0},
        {"label": ""},
        {"label": "é" * 512},
        {"label": "\U0001f600" * 256},
        {"module": "m" * 255, "label": "l" * 1_024, "task_key": "k" * 1_024},
        {"task_key": None},
        {"task_key": "None"},
        {"user_id": "007"},
        {"user_id": "u" * 255},
        {"organization_id": ""},
        {"organization_id": "-0"},
    ],
    ids=repr,
)
def test_every_value_that_a_task_can_have_is_readable(changes: dict[str, Any]) -> None:
    record = a_record(**changes)

    row = row_from_stored(record.row())

    assert row == Task.from_record(record).to_row()
    assert (row["module"], row["label"], row["task_key"]) == (record.module, record.label, record.task_key)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "1e999", "[" * 100_000, "", "{", b"1", 5])
def test_a_stored_payload_that_is_not_json_makes_a_task_unreadable(text: Any) -> None:
    for field in ("checkpoint", "result", "confirmation", "arguments"):
        with pytest.raises(TaskBackendError, match="cannot be read"):
            Task.from_record(a_record(**{field: text}))


@pytest.mark.parametrize("number", [0.1, 1e308, -0.0, 5e-324, 10**400])
def test_a_payload_keeps_its_numbers_exactly(number: float) -> None:
    assert repr(decode_payload(encode_payload([number], "result"))) == repr([number])
