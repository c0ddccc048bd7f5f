"""A record with a value that no task can have is unreadable, on every store, and never shown (clause FAIL-10)."""

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
"""Those that no question is about."""


@pytest.fixture(params=STORES)
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, opened: Callable[..., TaskManager]
) -> TaskManager:
    embedded = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'tasks.db'}"}
    url = embedded.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    return opened(url, namespace=namespace)


def impossible_values(manager: TaskManager) -> Iterator[tuple[str, Any]]:
    """Those that the store can hold, as far as that is known beforehand."""
    for field, value in IMPOSSIBLE:
        # In Redis the empty text stands for no key.
        if not (isinstance(manager, RedisTaskManager) and (field, value) == ("task_key", "")):
            yield field, value
    if isinstance(manager, MemoryTaskManager | MongoTaskManager):
        for field, value in itertools.product(FIELDS, OF_OTHER_TYPES):
            is_time = isinstance(value, int) and not isinstance(value, bool) and field == "created_at"
            if not is_time:
                yield field, value


@pytest.mark.timeout(300)
def test_no_impossible_value_is_shown(manager: TaskManager) -> None:
    seen = []
    for organization, (field, value) in enumerate(impossible_values(manager), 1):
        # given an organization with a task that can be read
        fields: dict[str, Any] = {"user_id": 7, "organization_id": organization, "module": "tests"}
        good, bad = (manager.create(Task.new(**fields, task_key=key))[0] for key in ("job.good", "job.bad"))
        # when somebody else writes an impossible value into another one, which the store may refuse
        if not is_spoilt(manager, bad, field, value):
            continue
        seen.append((field, value))
        # then
        then_only_the_good_one_is_shown(manager, organization, good, field)
        then_it_is_no_answer_by_id(manager, bad, field)
    assert seen[:HELD_BY_EVERY_STORE] == list(IMPOSSIBLE[:HELD_BY_EVERY_STORE])


def is_spoilt(manager: TaskManager, bad: Task, field: str, value: Any) -> bool:
    try:
        spoil(manager, bad.id, field, value)
    except Exception:  # each driver has its own
        return False
    return True


def then_only_the_good_one_is_shown(manager: TaskManager, organization: int, good: Task, field: str) -> None:
    """In plain JSON; and what was left out is counted where the question is about it."""
    for rows in (
        manager.list_user_tasks(7, organization),
        manager.get_tasks_by_key_prefix("job.", organization),
        manager.get_tasks_by_key_prefix("", organization, limit=2),
        manager.page(organization_id=organization),
    ):
        assert [row["id"] for row in rows] == [good.id]
        # A record whose user or key is another now is in no index of the old one.
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


def then_it_is_no_answer_by_id(manager: TaskManager, bad: Task, field: str) -> None:
    """A record whose id is another now is not found; any other raises, unless an update has made it right again."""
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


# --- The rules themselves ---------------------------------------------------------------------------------------------


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
def test_a_value_of_another_type_is_unreadable(field: str, value: Any) -> None:
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
def test_what_a_task_can_have_is_readable(changes: dict[str, Any]) -> None:
    record = a_record(**changes)

    row = row_from_stored(record.row())

    assert row == Task.from_record(record).to_row()
    assert (row["module"], row["label"], row["task_key"]) == (record.module, record.label, record.task_key)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "1e999", "[" * 100_000, "", "{", b"1", 5])
def test_a_payload_that_is_not_json_is_unreadable(text: Any) -> None:
    for field in ("checkpoint", "result", "confirmation", "arguments"):
        with pytest.raises(TaskBackendError, match="cannot be read"):
            Task.from_record(a_record(**{field: text}))


@pytest.mark.parametrize("number", [0.1, 1e308, -0.0, 5e-324, 10**400])
def test_numbers_of_a_payload_are_kept(number: float) -> None:
    assert repr(decode_payload(encode_payload([number], "result"))) == repr([number])
