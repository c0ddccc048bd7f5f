"""The results of lookups through the facade, also for arguments of a wrong type (clauses ROW, BAD-02, SCOPE-07)."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.domain.record import ROW_FIELDS
from module_sdk.domain.rows import LookupResult
from module_sdk.errors import InvalidInputError
from module_sdk.store.manager import TaskManager
from tests.support.lookups import Lookup, each_lookup, real_empty
from tests.support.managers import InjectedManager, a_row


@each_lookup
def test_an_answer_is_a_list_of_plain_rows_newest_first(store: TaskManager, name: str, lookup: Lookup) -> None:
    made = [module_sdk.Task.new(user_id=7, organization_id=3, module="m", task_key="k") for _ in range(3)]
    store.import_tasks(map(task_ended, made))

    result = lookup(7 if name == "list_user_tasks" else "k", 3)

    assert isinstance(result, list)
    assert [row["id"] for row in result] == [task.id for task in reversed(made)]
    assert [tuple(row) for row in result] == [ROW_FIELDS] * 3
    assert {type(row) for row in result} == {dict}
    assert json.loads(json.dumps(result)) == result
    assert (result.error, result.skipped) == (None, 0)
    for row in result:
        assert [type(value) for value in row.values()] == [str, str, str, str, float, str, int, int, str, str]
        assert len(row["created_at"]) == 32
        assert row["created_at"].endswith("+00:00")
    assert [row["id"] for row in lookup(7 if name == "list_user_tasks" else "k", 3, limit=2)] == [
        task.id for task in reversed(made[1:])
    ]
    assert real_empty(lookup(7 if name == "list_user_tasks" else "k", 3, limit=0))


def task_ended(task: module_sdk.Task) -> module_sdk.Task:
    return module_sdk.Task.from_dict(task.to_dict() | {"status": "completed"})


@each_lookup
def test_changes_of_a_result_do_not_affect_the_store(store: TaskManager, name: str, lookup: Lookup) -> None:
    store.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m", task_key="k"))
    argument = 7 if name == "list_user_tasks" else "k"

    row: Any = lookup(argument, 3)[0]
    row.clear()
    lookup(argument, 3).clear()

    assert lookup(argument, 3)[0]["user_id"] == 7


@each_lookup
@pytest.mark.parametrize("text", ["x" * 2_000, "a\0b", "\ud800", "nobody"], ids=["long", "NUL", "surrogate", "unknown"])
def test_text_that_no_task_can_have_is_a_real_empty_answer(
    store: TaskManager, name: str, lookup: Lookup, text: str
) -> None:
    assert real_empty(lookup(text, 3))
    assert real_empty(lookup("k", text))
    assert tasks.lookup_failures() == {}


def test_unreadable_records_are_skipped_counted_and_logged(memory: Any, caplog: pytest.LogCaptureFixture) -> None:
    # given three tasks, one of which has an unreadable record
    for number in range(3):
        memory.manager.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m", task_key=f"k{number}"))
    records = memory.manager.tables.records
    broken = list(records)[1]
    records[broken] = records[broken]._replace(status="perhaps")

    with caplog.at_level(logging.ERROR, "module_sdk.tasks"):
        result = tasks.get_tasks_by_key_prefix("k", 3, limit=2)

    assert [row["task_key"] for row in result] == ["k2", "k0"]
    assert (result.error, result.skipped) == (None, 1)
    assert broken in caplog.text
    assert tasks.lookup_failures() == {}


def test_a_result_survives_copying_and_pickling() -> None:
    result = LookupResult([a_row()], error=OSError("down"), skipped=2)
    for copied in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert type(copied) is LookupResult
        assert (copied, repr(copied.error), copied.skipped) == (result, "OSError('down')", 2)


# --- Wrong arguments ------------------------------------------------------------------------------------------------

WRONG_USERS = [None, True, 7.0, b"7", "", [], {}, ("7",), object()]
WRONG_KEYS = [None, True, 7, 7.0, b"k", [], {}, ("k",), object()]
WRONG_ORGANIZATIONS = [True, False, 3.0, b"3", "", [], {}, {"$ne": 1}, object()]
WRONG_LIMITS = [True, -1, 1.0, "1", [], 2**63]


@each_lookup
@pytest.mark.parametrize("injected", [False, True], ids=["own", "injected"])
def test_arguments_of_a_wrong_type_are_failures_and_find_no_tasks(name: str, lookup: Lookup, injected: bool) -> None:
    # given a store with a task, behind a `TaskManager` or another object
    own = module_sdk.open_manager("memory://")
    own.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m", task_key="k"))
    module_sdk.configure(manager=InjectedManager(lambda *_: [a_row()]) if injected else own)
    good = 7 if name == "list_user_tasks" else "k"

    calls: list[tuple[Any, Any, Any]] = [(bad, 3, None) for bad in (WRONG_USERS if good == 7 else WRONG_KEYS)]
    calls += [(good, bad, None) for bad in WRONG_ORGANIZATIONS]
    calls += [(good, 3, bad) for bad in WRONG_LIMITS]
    results = [lookup(argument, organization, limit=limit) for argument, organization, limit in calls]

    assert [(list(result), type(result.error)) for result in results] == [([], InvalidInputError)] * len(calls)
    assert tasks.lookup_failures() == {name: len(calls)}
    assert len(lookup(good, 3)) == 1
