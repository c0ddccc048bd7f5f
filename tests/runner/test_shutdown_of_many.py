"""Shutting down with many tasks left: they are recorded together, within the deadline (DESIGN.md, "running work")."""

from __future__ import annotations

import time
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import Change, TaskBackendError
from module_sdk.store.manager import TaskManager
from module_sdk.testing import USER
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, get


def submit_many(manager: TaskManager, count: int) -> tuple[Gate, list[str]]:
    """One task that runs, and others that wait for its thread."""
    module_sdk.configure(manager=manager, max_running_tasks=1)
    gate = Gate()
    first = gate.submit("function")
    tasks.register("many")(gate.function)
    return gate, [first, *(tasks.run_background_sync("many", task_key=f"k{number}") for number in range(count))]


@pytest.mark.parametrize("somebody_listens", [False, True])
def test_all_are_interrupted_and_their_keys_are_free(store: TaskManager, somebody_listens: bool) -> None:
    # given
    gate, ids = submit_many(store, 500)
    heard: list[Any] = []
    if somebody_listens:
        tasks.subscribe(heard.append)

    # when
    tasks.shutdown(timeout_seconds=0)
    gate.opened.set()

    # then
    assert {(get(store, task_id).status, get(store, task_id).error) for task_id in ids} == {("interrupted", "shutdown")}
    assert len({event["task_id"] for event in heard}) == (len(ids) if somebody_listens else 0)
    assert tasks.run_background_sync("many", task_key="k0") not in ids


def test_one_that_has_ended_meanwhile_keeps_its_end(store: TaskManager) -> None:
    # given a task that another process has interrupted
    gate, ids = submit_many(store, 50)
    store.update(ids[7], status="interrupted", error="cancelled")

    # when
    tasks.shutdown(timeout_seconds=0)
    gate.opened.set()

    # then
    assert [get(store, task_id).error for task_id in ids] == ["shutdown"] * 7 + ["cancelled"] + ["shutdown"] * 43


def test_one_that_the_store_refuses_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    # given
    manager = FaultyManager()
    with module_sdk.session(user=USER):
        gate, ids = submit_many(manager, 50)
        refused: list[str] = []
        update = manager.store_update

        def refuse(task_id: str, organization: str | None, change: Change, deadline: float) -> Any:
            if task_id == ids[9] and change.ends:
                refused.append(task_id)
                raise TaskBackendError("this record is broken")
            return update(task_id, organization, change, deadline)

        manager.store_update = refuse  # type: ignore[method-assign]

        # when
        tasks.shutdown(timeout_seconds=0)
        gate.opened.set()

    # then
    assert [task_id for task_id in ids if get(manager, task_id).status != "interrupted"] == [ids[9]]
    assert f"1 tasks could not be recorded as interrupted and stay active: {ids[9]}" in caplog.text


def test_what_is_left_at_the_deadline_is_logged_and_stopped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that is slower than the deadline allows
    monkeypatch.setattr("module_sdk.runner.interruption.RECORD_SECONDS", 0.5)
    manager = FaultyManager()
    with module_sdk.session(user=USER):
        gate, ids = submit_many(manager, 300)
        manager.before_update = lambda change: time.sleep(0.05)

        # when
        began = time.monotonic()
        tasks.shutdown(timeout_seconds=0)
        seconds = time.monotonic() - began
    gate.opened.set()

    # then
    assert seconds < 30
    assert "could not be recorded as interrupted and stay active" in caplog.text
    left = [task_id for task_id in ids if get(manager, task_id).is_active]
    assert left
    assert all(run.cancelled.is_set() for run in module_sdk.runner.run.live_runs.values() if run.id in left)
