"""UUIDs as ids, the ids that `run_background` returns, and registered names (of files loaded twice, in warnings)."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import uuid_utils

import module_sdk
from module_sdk import tasks
from module_sdk.domain.task import Task
from module_sdk.errors import InvalidInputError
from module_sdk.models import background_tasks
from module_sdk.store.manager import TaskManager
from module_sdk.testing import World
from tests.support.managers import InjectedManager, a_row
from tests.support.sample_work import Gate, Submit, add, each_submission

USER_ID = uuid.UUID("0190F5D2-7C8A-7DEF-8123-456789ABCDEF")
ORGANIZATION_ID: Any = uuid_utils.UUID("0190f5d2-7c8a-7def-8123-000000000001")
TEXTS = (str(USER_ID), str(ORGANIZATION_ID))


# --- UUIDs ------------------------------------------------------------------------------------------------------------


def test_every_call_accepts_a_uuid_as_an_id_and_returns_its_text(store: TaskManager) -> None:
    with module_sdk.session(user={"id": USER_ID, "organization_id": ORGANIZATION_ID}) as opened:
        assert (opened.user_id, opened.organization_id) == TEXTS

        task_id = tasks.run_background_sync(add(1, 2), task_key="k")
        as_uuid = uuid.UUID(task_id)

        # then calls by task id accept a UUID as well
        assert tasks.wait(as_uuid, 10)["id"] == task_id
        assert background_tasks.view(as_uuid) == background_tasks.view(task_id)
        assert not tasks.cancel(as_uuid)
        assert background_tasks.count({"id": as_uuid, "user_id": USER_ID, "organization_id": [ORGANIZATION_ID]}) == 1

    # and lookups with UUIDs and with their texts find the task
    for user, organization in ((USER_ID, ORGANIZATION_ID), TEXTS):
        organization_id: Any = organization
        for rows in (
            tasks.list_user_tasks(user, organization_id),
            tasks.get_tasks_by_key("k", organization_id),
            asyncio.run(tasks.aget_tasks_by_key_prefix("", organization_id)),
            store.list_user_tasks(user, organization_id),
            store.page(filters={"user_id": user}, organization_id=organization_id),
        ):
            assert [(row["id"], row["user_id"], row["organization_id"]) for row in rows] == [(task_id, *TEXTS)]
        assert store.prune(1e9, organization_id=organization_id, user_id=user) == 0
    assert tasks.list_user_tasks(USER_ID).error is None
    assert tasks.list_user_tasks(USER_ID) == []


def test_progress_and_cancellation_accept_a_uuid_as_task_id(store: TaskManager) -> None:
    gate = Gate()
    task_id: Any = uuid.UUID(gate.submit("function"))
    events: list[Any] = []
    with tasks.subscribe(events.append, task_id=task_id):
        tasks.update_progress_sync(task_id, 0.25)
        tasks.emit_progress_sync(task_id, 0.5)
    assert [event["task_id"] for event in events] == [str(task_id)] * 2
    assert tasks.cancel(task_id)
    gate.opened.set()


def test_a_store_returns_the_uuids_of_a_task_as_text(store: TaskManager) -> None:
    organization_id: Any = ORGANIZATION_ID
    task, _ = store.create(Task.new(user_id=USER_ID, organization_id=organization_id, module="m"))
    assert (task.user_id, task.organization_id) == TEXTS
    assert store.get(task.id) == task


def test_an_injected_manager_receives_the_text_of_a_uuid() -> None:
    manager = InjectedManager(lambda *_: [a_row()])
    module_sdk.configure(manager=manager)
    organization_id: Any = ORGANIZATION_ID
    assert tasks.list_user_tasks(USER_ID, organization_id).error is None
    assert manager.calls == [("list_user_tasks", *TEXTS, None)]


# --- The id that a submission returns ---------------------------------------------------------------------------------


@each_submission
def test_the_id_of_a_submission_says_whether_the_call_created_the_task(store: TaskManager, submit: Submit) -> None:
    gate = Gate()
    first: Any = gate.submit("function", task_key="k")

    async def submit_again() -> Any:
        return await tasks.run_background(add(1, 2), task_key="k")

    second: Any = tasks.run_background_sync(add(1, 2), task_key="k") if submit is tasks.run_background_sync else None
    second = second or asyncio.run(submit_again())

    assert (first.created, second.created) == (True, False)
    assert first == second == str(first)
    gate.opened.set()
    tasks.wait(first, 10)
    third: Any = submit(add(1, 2), task_key="k")
    assert third.created
    assert third != first


def test_the_id_that_a_submission_returns_behaves_like_a_str(memory: World) -> None:
    task_id = tasks.run_background_sync(add(1, 2))
    text = str(task_id)
    assert type(task_id) is tasks.TaskId
    assert type(text) is str
    assert task_id == text
    assert hash(task_id) == hash(text)
    assert {text: 1}[task_id] == 1
    assert json.dumps({"id": task_id}) == json.dumps({"id": text})
    assert repr(task_id) == repr(text)
    assert f"{task_id}" == text
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        loaded = pickle.loads(pickle.dumps(task_id, protocol))
        assert (loaded, loaded.created, type(loaded)) == (text, True, tasks.TaskId)
    for copied in (copy.copy(task_id), copy.deepcopy(task_id)):
        assert (copied, copied.created) == (text, True)
    tasks.wait(task_id, 10)


# --- Functions of a file that is loaded twice -------------------------------------------------------------------------

PROGRAM = """
import functools, sys
import module_sdk
from module_sdk import tasks

@tasks.register("main.double")
def double(number):
    return 2 * number

@tasks.register("main.method")
class Work:
    def __init__(self, number): self.number = number

class Adder:
    def __init__(self, more): self.more = more
    def __call__(self, number): return number + self.more

tasks.register("main.partial")(functools.partial(double, number=4))
tasks.register("main.object")(Adder(1))

def run():
    module_sdk.configure(url="memory://")
    with module_sdk.session(user={"id": 1}):
        for name, given in (("double", {"number": 2}), ("partial", {}), ("object", {"number": 2})):
            print(tasks.wait(tasks.run_background_sync(f"main.{name}", **given), 10)["result"])
"""
STARTS = {
    "main, then the module": "if __name__ == '__main__':\n    import main\n    main.run()\n",
    "the module, then main": "",
    "a spawned process": (
        "if __name__ == '__main__':\n    import multiprocessing\n"
        "    process = multiprocessing.get_context('spawn').Process(target=run)\n"
        "    process.start(); process.join(); sys.exit(process.exitcode)\n"
        "if __name__ == '__mp_main__':\n    import main\n"
    ),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_file_that_registers_functions_can_run_as_a_script_and_be_imported_as_a_module(
    case: str, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(PROGRAM + STARTS[case])
    command = [sys.executable, "main.py"]
    if case == "the module, then main":
        code = "import main, runpy; runpy.run_path('main.py', run_name='__main__')['run']()"
        command = [sys.executable, "-c", f"import sys, __main__; __main__.__file__ = 'main.py'; {code}"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["4", "8", "3"], "")


def test_a_second_function_with_a_registered_name_is_refused(tmp_path: Path) -> None:
    other = "import module_sdk.tasks as tasks\n@tasks.register('main.double')\ndef double(number): return 0\n"
    (tmp_path / "other.py").write_text(other)
    (tmp_path / "main.py").write_text(PROGRAM + "import other\n")
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert "the name 'main.double' is taken by __main__.double" in done.stderr


def test_a_partial_with_other_arguments_and_a_registered_name_is_refused() -> None:
    import functools  # noqa: PLC0415

    tasks.register("differ")(functools.partial(add, b=2))
    tasks.register("differ")(functools.partial(add, b=2))
    with pytest.raises(InvalidInputError, match="is taken by"):
        tasks.register("differ")(functools.partial(add, b=3))


# --- Progress in percent ----------------------------------------------------------------------------------------------


@each_submission
def test_progress_in_percent_logs_one_warning_per_function(
    store: TaskManager, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"percent.{submit.__name__}.{id(store)}"

    @tasks.register(name)
    def percent() -> None:
        task = tasks.current()
        for progress in (0.5, 1, 1.0000001, 50, 75, 10**400):
            task.update_progress(progress)
        tasks.emit_progress_sync(task.id, 80)

    with caplog.at_level(logging.WARNING, "module_sdk.tasks"):
        views = [tasks.wait(submit(name), 10) for _ in range(2)]

    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"{name} reported progress 50, which counts as 1: it is a fraction, from 0 to 1"]
    assert [view["status"] for view in views] == ["completed"] * 2


def test_progress_in_percent_from_a_coroutine_or_an_emitted_event_logs_a_warning(
    memory: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def in_percent() -> None:
        await tasks.emit_progress(tasks.current().id, 20)
        await tasks.current().update_progress(30)

    for _ in range(2):
        tasks.wait(tasks.run_background_sync(in_percent()), 10)
    assert caplog.text.count("in_percent reported progress 20") == 1
    assert "progress 30" not in caplog.text
