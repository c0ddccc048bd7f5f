"""Observers are called for failed lookups and changed tasks, and cannot break either (clause FAIL-11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import ConfigurationError
from module_sdk.plugins.observers import GROUP
from module_sdk.testing import World
from tests.support.distributions import install
from tests.support.managers import InjectedManager, raising

Seen = list[tuple[Any, ...]]


class Marked:
    """An observer whose hooks are marked, as pluggy's documentation shows."""

    def __init__(self) -> None:
        self.seen: Seen = []

    @module_sdk.hookimpl
    def module_sdk_lookup_failed(self, operation: str, error: Exception) -> None:
        self.seen.append((operation, error))

    @module_sdk.hookimpl
    def module_sdk_task_changed(self, row: dict[str, Any], change: str) -> None:
        self.seen.append((row["id"], change, row["status"]))


class Unmarked:
    """An observer without marks: methods with the names of hooks are enough, and may omit arguments."""

    def __init__(self) -> None:
        self.seen: Seen = []

    def module_sdk_lookup_failed(self, error: Exception) -> None:
        self.seen.append((error,))

    def module_sdk_task_changed(self, change: str) -> None:
        self.seen.append((change,))


class Raising:
    def module_sdk_lookup_failed(self, operation: str, error: Exception) -> None:
        raise ValueError("observer")

    def module_sdk_task_changed(self, row: dict[str, Any], change: str) -> None:
        raise ValueError("observer")


async def work() -> None:
    await tasks.current().update_progress(0.5)


def test_an_observer_is_called_for_a_failed_lookup_and_every_stored_change(memory: World) -> None:
    marked, unmarked = Marked(), Unmarked()
    module_sdk.register_observer(marked)
    module_sdk.register_observer(unmarked)

    task_id = tasks.run_background_sync(work())
    tasks.wait(task_id, 10)
    failed = tasks.list_user_tasks(True)

    assert marked.seen == [
        (task_id, "created", "pending"),
        (task_id, "running", "running"),
        (task_id, "updated", "running"),
        (task_id, "completed", "completed"),
        ("list_user_tasks", failed.error),
    ]
    assert unmarked.seen == [("created",), ("running",), ("updated",), ("completed",), (failed.error,)]


def test_an_observer_that_raises_breaks_neither_the_call_nor_the_next_observer(
    memory: World, caplog: pytest.LogCaptureFixture
) -> None:
    module_sdk.register_observer(Raising())
    after = Unmarked()
    module_sdk.register_observer(after)

    view = tasks.wait(tasks.run_background_sync(work()), 10)
    module_sdk.configure(manager=InjectedManager(raising(OSError("down"))))
    result = tasks.get_tasks_by_key("k")

    assert view["status"] == "completed"
    assert isinstance(result.error, OSError)
    assert after.seen[-1] == (result.error,)
    assert len(after.seen) == 5
    assert "observer" in caplog.text


def test_a_submission_of_a_key_that_has_a_holder_is_not_a_change(memory: World) -> None:
    observer = Unmarked()
    module_sdk.register_observer(observer)
    holder, _ = memory.manager.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m", task_key="k"))

    assert tasks.run_background_sync(work(), task_key="k") == holder.id

    assert observer.seen == []


def test_an_unregistered_observer_is_not_called_and_an_unknown_one_is_ignored(memory: World) -> None:
    observer = Marked()
    module_sdk.register_observer(observer)
    module_sdk.register_observer(observer)

    module_sdk.unregister_observer(observer)
    module_sdk.unregister_observer(Marked())
    tasks.list_user_tasks(True)

    assert observer.seen == []


@pytest.mark.parametrize(
    "attributes",
    [{}, {"module_sdk_lookup_fail": lambda self: None}, {"module_sdk_lookup_failed": lambda self, colour: None}],
    ids=["no hook", "unknown hook", "unknown argument"],
)
def test_an_object_without_a_valid_hook_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="hook"):
        module_sdk.register_observer(type("Observer", (), attributes)())


EVIL = """
class Evil:
    @property
    def module_sdk_lookup_failed(self): raise OSError("evil")
    def __dir__(self): return ["module_sdk_lookup_failed"]
evil = Evil()
"""


def test_installed_observers_are_called_and_broken_ones_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given installed observers, all but one of them broken
    modules = {
        "good_observer": "seen = []\ndef module_sdk_lookup_failed(operation, error): seen.append(operation)",
        "unimportable_observer": "raise OSError('observer file')",
        "wrong_observer": "def module_sdk_lookup_failed(colour): ...",
        "leaving_observer": "raise SystemExit",
        "evil_observer": EVIL,
    }
    entries = {name: name for name in modules} | {"evil_observer": "evil_observer:evil"}
    install(tmp_path, monkeypatch, "watchers", modules, {GROUP: entries})
    module_sdk.configure(url=None)

    tasks.list_user_tasks(1)
    tasks.get_tasks_by_key("k")

    import good_observer  # type: ignore[import-not-found]  # noqa: PLC0415  # installed by this test

    assert good_observer.seen == ["list_user_tasks", "get_tasks_by_key"]
    for broken in sorted(modules.keys() - {"good_observer"}):
        assert f"the observer {broken} is left out" in caplog.text


def test_an_observer_may_make_lookups_itself_even_failing_ones(memory: World) -> None:
    # given an observer that makes a failing lookup for every change of a task, and another one for every failure
    answers: list[Any] = []

    class Curious:
        def module_sdk_task_changed(self, row: dict[str, Any]) -> None:
            answers.append(tasks.get_tasks_by_key(None))  # type: ignore[arg-type]  # fails

        def module_sdk_lookup_failed(self, operation: str) -> None:
            answers.append(tasks.list_user_tasks(row_user, 3))

    row_user = 7
    module_sdk.register_observer(Curious())

    tasks.wait(tasks.run_background_sync(work()), 10)

    assert len(answers) == 8


def test_a_row_that_an_observer_changes_is_unchanged_for_the_others(memory: World) -> None:
    class Spoiling:
        def module_sdk_task_changed(self, row: dict[str, Any]) -> None:
            row.clear()

    module_sdk.register_observer(Spoiling())
    after = Marked()
    module_sdk.register_observer(after)
    events: list[Any] = []

    def spoil(event: Any) -> None:
        event["row"].clear()

    tasks.subscribe(spoil)
    tasks.subscribe(events.append)

    task_id = tasks.run_background_sync(work())
    tasks.wait(task_id, 10)

    assert len(after.seen) == 4
    assert {event["row"]["id"] for event in events} == {task_id}
