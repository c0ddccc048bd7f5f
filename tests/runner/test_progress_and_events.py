"""Stored progress, live events and their subscribers (clauses LIFE-04, EVENT-01)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import IllegalTransitionError, InvalidInputError, PayloadError, SessionRequiredError
from module_sdk.store.manager import TaskManager
from module_sdk.testing import World
from tests.support.sample_work import Gate, add, get

UNKNOWN = "01890000-0000-7000-8000-000000000000"


def on_another_thread(call: Any) -> None:
    """Run `call` on a plain thread, which has no session, and raise the exception that it raised."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def running(store: TaskManager) -> Any:
    """Yield the id of a task that runs until the test has ended."""
    gate = Gate()
    task_id = gate.submit("coroutine")
    yield task_id
    gate.opened.set()


# --- Stored progress -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (0.25, 0.25),
        (0, 0.0),
        (1, 1.0),
        (-3, 0.0),
        (7.5, 1.0),
        (10**400, 1.0),
        (-(10**400), 0.0),
        (0.1 + 0.2, 0.1 + 0.2),
    ],
)
def test_progress_is_stored_and_clamped(store: TaskManager, running: str, given: float, stored: float) -> None:
    tasks.update_progress_sync(running, given)
    task = get(store, running)
    assert (task.progress, type(task.progress)) == (stored, float)


def test_progress_may_go_down_and_a_checkpoint_and_label_stay_until_replaced(store: TaskManager, running: str) -> None:
    tasks.update_progress_sync(running, 0.8, {"page": 1, "more": 2}, "Reading")

    tasks.update_progress_sync(running, 0.2)
    asyncio.run(tasks.update_progress(running, 0.3, checkpoint={"page": 2}))

    task = get(store, running)
    assert (task.progress, task.checkpoint, task.label) == (0.3, {"page": 2}, "Reading")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), "0.5", None, True, [0.5]], ids=repr)
def test_progress_that_is_not_a_finite_number_is_refused(store: TaskManager, running: str, bad: Any) -> None:
    before = get(store, running)
    with pytest.raises(InvalidInputError):
        tasks.update_progress_sync(running, bad)
    assert get(store, running) == before


@pytest.mark.parametrize(
    "bad", [{"checkpoint": object()}, {"checkpoint": "x" * 1_048_576}, {"label": "x" * 1_025}, {"label": 5}]
)
def test_an_invalid_checkpoint_or_label_is_refused_and_changes_nothing(
    store: TaskManager, running: str, bad: dict[str, Any]
) -> None:
    before = get(store, running)
    with pytest.raises(InvalidInputError):
        tasks.update_progress_sync(running, 0.5, **bad)
    assert get(store, running) == before


@pytest.mark.parametrize("unknown", [UNKNOWN, "", "no id", UNKNOWN.upper(), "x" * 5_000])
def test_progress_of_an_unknown_id_is_ignored(store: TaskManager, unknown: str) -> None:
    tasks.update_progress_sync(unknown, 0.5)
    tasks.emit_progress_sync(unknown, 0.5)
    asyncio.run(tasks.update_progress(unknown, 0.5))
    assert store.count() == 0


def test_progress_of_a_completed_task_is_refused(store: TaskManager) -> None:
    task_id = tasks.run_background_sync(add(1, 2))
    tasks.wait(task_id, 10)
    with pytest.raises(IllegalTransitionError):
        tasks.update_progress_sync(task_id, 0.5)
    assert get(store, task_id).progress == 1.0


def test_any_thread_may_report_progress_of_a_task_of_this_process(store: TaskManager, running: str) -> None:
    on_another_thread(lambda: tasks.update_progress_sync(running, 0.4))
    on_another_thread(lambda: asyncio.run(tasks.update_progress(running, 0.5, label="Half")))
    on_another_thread(lambda: tasks.emit_progress_sync(running, 0.6))
    task = get(store, running)
    assert (task.progress, task.label) == (0.5, "Half")


def test_progress_of_other_tasks_needs_a_session(store: TaskManager, running: str) -> None:
    task, _ = store.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m"))
    for task_id in (task.id, UNKNOWN):
        with pytest.raises(SessionRequiredError):
            on_another_thread(lambda task_id=task_id: tasks.update_progress_sync(task_id, 0.4))
        with pytest.raises(SessionRequiredError):
            on_another_thread(lambda task_id=task_id: tasks.emit_progress_sync(task_id, 0.4))


def test_current_reports_progress_from_every_part_of_work(store: TaskManager) -> None:
    # given reports from a coroutine, a thread of a coroutine, a function, and an event loop inside a function
    seen: list[float] = []

    async def coroutine() -> None:
        await tasks.current().update_progress(0.1, {"at": 1}, "One")
        seen.append(get(store, tasks.current().id).progress)
        await asyncio.to_thread(from_a_thread)

    def from_a_thread() -> None:
        tasks.current().update_progress(0.2)
        seen.append(get(store, tasks.current().id).progress)

    async def inner() -> None:
        await tasks.current().update_progress(0.3)

    @tasks.register("function.progress")
    def function() -> None:
        from_a_thread()
        asyncio.run(inner())
        seen.append(get(store, tasks.current().id).progress)

    for work in (coroutine(), "function.progress"):
        view = tasks.wait(tasks.run_background_sync(work), 10)
        assert view["error"] is None

    assert seen == [0.1, 0.2, 0.2, 0.3]


# --- Live events -----------------------------------------------------------------------------------------------------


def test_an_emitted_progress_reaches_subscribers_and_stores_nothing(store: TaskManager, running: str) -> None:
    events: list[Any] = []
    before = get(store, running)

    with tasks.subscribe(events.append):
        tasks.emit_progress_sync(running, 7, "Live", {"pair": (1, 2)})
        asyncio.run(tasks.emit_progress(running))
    tasks.emit_progress_sync(running, 0.9)

    live = {"type": "progress", "task_id": running, "progress": 1.0, "label": "Live", "checkpoint": {"pair": [1, 2]}}
    assert events == [live, live | {"progress": None, "label": None, "checkpoint": None}]
    assert get(store, running) == before


@pytest.mark.parametrize(
    "bad", [{"progress": float("nan")}, {"progress": "x"}, {"checkpoint": {b"1"}}, {"label": 5}, {"label": "\0"}]
)
def test_a_live_event_obeys_the_rules_of_stored_progress(running: str, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        tasks.emit_progress_sync(running, **bad)


def test_every_stored_change_is_an_event_in_order(store: TaskManager) -> None:
    events: list[Any] = []

    async def work() -> None:
        await tasks.current().update_progress(0.5)

    with tasks.subscribe(events.append):
        task_id = tasks.run_background_sync(work())
        tasks.wait(task_id, 10)
        tasks.shutdown()

    assert [(event["type"], event["task_id"], event["change"], event["row"]["progress"]) for event in events] == [
        ("changed", task_id, change, progress)
        for change, progress in (("created", 0.0), ("running", 0.0), ("updated", 0.5), ("completed", 1.0))
    ]


def test_events_stay_within_the_organization_and_the_task(store: TaskManager) -> None:
    # given subscribers of this organization, of another, of none, of all, and of one task
    seen: dict[str, list[str]] = {}

    def subscribe(name: str, **options: Any) -> None:
        tasks.subscribe(lambda event: seen.setdefault(name, []).append(event["task_id"]), **options)

    gates = {organization: Gate() for organization in (3, 4, None)}
    ids = {}
    for organization, gate in gates.items():
        with module_sdk.session(user={"id": 7, "organization_id": organization}):
            ids[organization] = gate.submit("coroutine")
            subscribe(str(organization))
    with module_sdk.session(all_organizations=True):
        subscribe("all")
        subscribe("one", task_id=ids[4])
    subscribe("other organization", task_id=ids[4])

    for organization, task_id in ids.items():
        with module_sdk.session(user={"id": 7, "organization_id": organization}):
            tasks.emit_progress_sync(task_id, 0.5)

    assert seen == {"3": [ids[3]], "4": [ids[4]], "None": [ids[None]], "all": list(ids.values()), "one": [ids[4]]}
    for gate in gates.values():
        gate.opened.set()


def test_a_subscriber_that_raises_affects_no_work_and_no_other_subscriber(
    store: TaskManager, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []

    def raising(event: Any) -> None:
        raise ValueError("subscriber")

    tasks.subscribe(raising)
    subscription = tasks.subscribe(events.append)

    view = tasks.wait(tasks.run_background_sync(add(1, 2)), 10)
    subscription.close()
    subscription.close()

    assert view["result"] == 3
    assert len(events) >= 2
    assert "subscriber" in caplog.text


def test_subscribing_needs_a_session() -> None:
    with pytest.raises(SessionRequiredError):
        tasks.subscribe(print)


def test_the_checkpoint_of_a_live_event_has_a_maximum(memory: World) -> None:
    task, _ = memory.manager.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m"))
    with pytest.raises(PayloadError):
        tasks.emit_progress_sync(task.id, checkpoint="x" * 1_048_576)


def test_a_subscriber_must_be_callable(store: TaskManager) -> None:
    with pytest.raises(InvalidInputError, match="callback") as refused:
        tasks.subscribe(None)  # type: ignore[arg-type]
    assert refused.value.field == "callback"
