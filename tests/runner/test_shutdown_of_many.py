"""Shutting down with many active tasks: they are recorded together, within the deadline."""

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
    """Submit one task that runs and `count` that wait for its thread; return their gate and their ids."""
    module_sdk.configure(manager=manager, max_running_tasks=1)
    gate = Gate()
    first = gate.submit("function")
    tasks.register("many")(gate.function)
    return gate, [first, *(tasks.run_background_sync("many", task_key=f"k{number}") for number in range(count))]


@pytest.mark.parametrize("has_subscriber", [False, True])
def test_all_tasks_are_interrupted_and_their_keys_are_free(store: TaskManager, has_subscriber: bool) -> None:
    gate, ids = submit_many(store, 500)
    heard: list[Any] = []
    if has_subscriber:
        tasks.subscribe(heard.append)

    tasks.shutdown(timeout_seconds=0)
    gate.opened.set()

    assert {(get(store, task_id).status, get(store, task_id).error) for task_id in ids} == {("interrupted", "shutdown")}
    assert len({event["task_id"] for event in heard}) == (len(ids) if has_subscriber else 0)
    assert tasks.run_background_sync("many", task_key="k0") not in ids


def test_a_task_that_another_process_has_ended_keeps_its_end(store: TaskManager) -> None:
    # given a task that another process has interrupted
    gate, ids = submit_many(store, 50)
    store.update(ids[7], status="interrupted", error="cancelled")

    tasks.shutdown(timeout_seconds=0)
    gate.opened.set()

    assert [get(store, task_id).error for task_id in ids] == ["shutdown"] * 7 + ["cancelled"] + ["shutdown"] * 43


def test_a_task_that_the_store_refuses_to_change_does_not_block_the_others(caplog: pytest.LogCaptureFixture) -> None:
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

        tasks.shutdown(timeout_seconds=0)
        gate.opened.set()

    assert [task_id for task_id in ids if get(manager, task_id).status != "interrupted"] == [ids[9]]
    assert f"1 tasks could not be recorded as interrupted and stay active: {ids[9]}" in caplog.text


def test_tasks_left_at_the_deadline_are_logged_and_stopped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that is too slow for the deadline
    monkeypatch.setattr("module_sdk.runner.interruption.RECORD_SECONDS", 0.5)
    manager = FaultyManager()
    with module_sdk.session(user=USER):
        gate, ids = submit_many(manager, 300)
        manager.before_update = lambda change: time.sleep(0.05)

        began = time.monotonic()
        tasks.shutdown(timeout_seconds=0)
        seconds = time.monotonic() - began
    gate.opened.set()

    assert seconds < 30
    assert "could not be recorded as interrupted and stay active" in caplog.text
    left = [task_id for task_id in ids if get(manager, task_id).is_active]
    assert left
    assert all(run.cancelled.is_set() for run in module_sdk.runner.run.live_runs.values() if run.id in left)
