"""Submitting work: what is recorded, what is refused, and functions by name."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import InvalidInputError, PayloadError, SessionRequiredError, TaskBackendUnavailableError
from module_sdk.runner.executor import executor_of
from module_sdk.store.manager import TaskManager
from module_sdk.testing import World
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, Submit, add, each_submission, get, is_closed, submit_and_wait


@each_submission
@pytest.mark.parametrize("form", ["coroutine", "async name", "sync name"])
def test_a_task_is_recorded_run_and_completed_with_its_result(store: TaskManager, submit: Submit, form: str) -> None:
    tasks.register("sum.async")(add)
    tasks.register("sum.sync")(lambda a, b: a + b)

    if form == "coroutine":
        task_id = submit(add(1, 2), "Sum", task_key="sum.k")
    else:
        task_id = submit("sum.async" if form == "async name" else "sum.sync", "Sum", task_key="sum.k", a=1, b=2)
    view = tasks.wait(task_id, 10)

    assert (view["status"], view["result"], view["progress"], view["error"]) == ("completed", 3, 1.0, None)
    assert (view["label"], view["module"], view["task_key"]) == ("Sum", "tests", "sum.k")
    assert view["created_at"] <= str(view["started_at"]) <= str(view["finished_at"]) == view["updated_at"]
    task = get(store, task_id)
    by_name = form != "coroutine"
    assert task.function == ({"async name": "sum.async", "sync name": "sum.sync"}[form] if by_name else None)
    assert task.arguments == ({"a": 1, "b": 2} if by_name else None)


class AsyncCallable:
    async def __call__(self, a: int, b: int) -> int:
        return a + b


class SyncCallable:
    def __call__(self, a: int, b: int) -> int:
        return a + b


CALLABLES = [functools.partial(add, b=2), functools.partial(lambda a, b: a + b, b=2), AsyncCallable(), SyncCallable()]


@pytest.mark.parametrize("function", CALLABLES, ids=["async partial", "partial", "async object", "object"])
def test_any_callable_can_be_registered(memory: World, function: Any) -> None:
    tasks.register("callable")(function)
    view = tasks.wait(tasks.run_background_sync("callable", a=1, b=2), 10)
    assert (view["result"], view["error"]) == (3, None)


def test_the_id_is_returned_while_the_work_still_runs(store: TaskManager) -> None:
    for form in ("coroutine", "function"):
        gate = Gate(result="done")
        task_id = gate.submit(form)
        assert get(store, task_id).status == "running"
        assert [row["id"] for row in tasks.list_user_tasks(7, 3, limit=1)] == [task_id]
        gate.opened.set()
        assert tasks.wait(task_id, 10)["result"] == "done"


def test_ids_rise_with_each_submission(memory: World) -> None:
    ids = [tasks.run_background_sync(add(1, number)) for number in range(50)]
    for task_id in ids:
        tasks.wait(task_id, 10)
    assert ids == sorted(ids)
    assert [row["id"] for row in tasks.list_user_tasks(7, 3)] == ids[::-1]


@each_submission
def test_arguments_arrive_as_json_values(store: TaskManager, submit: Submit) -> None:
    seen: list[Any] = []
    tasks.register("arguments")(lambda **arguments: seen.append(arguments))

    tasks.wait(submit("arguments", pair=(1, 2), nested={"a": [True, None, 10**30]}), 10)

    assert seen == [{"pair": [1, 2], "nested": {"a": [True, None, 10**30]}}]


def test_the_default_label_is_background_task_and_an_empty_key_is_none(store: TaskManager) -> None:
    first = tasks.wait(tasks.run_background_sync(add(1, 1), task_key=""), 10)
    second = tasks.wait(tasks.run_background_sync(add(1, 1), task_key=""), 10)
    assert first["id"] != second["id"]
    assert (first["label"], first["task_key"]) == ("Background Task", None)


@each_submission
def test_arguments_result_and_checkpoint_have_the_maximum_of_the_configuration(submit: Submit) -> None:
    # given a store that accepts payloads of more than a megabyte
    manager = module_sdk.open_manager("memory://", maximum_payload_bytes=3_000_000)
    module_sdk.configure(manager=manager)

    @tasks.register("large")
    def large(text: str) -> str:
        tasks.current().update_progress(0.5, checkpoint=text)
        tasks.emit_progress_sync(tasks.current().id, checkpoint=text)
        return text

    with module_sdk.session(user={"id": 1}):
        view = tasks.wait(submit("large", text="x" * 2_000_000), 10)
        assert (view["status"], view["error"]) == ("completed", None)
        assert len(view["result"]) == len(view["checkpoint"]) == 2_000_000
        with pytest.raises(PayloadError, match="kwargs must be at most 3,000,000 bytes") as refused:
            submit("large", text="x" * 3_000_000)
    assert (refused.value.field, refused.value.maximum) == ("kwargs", 3_000_000)


# --- What is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str, int | None]] = {
    "kwargs with a coroutine": ({"colour": "blue"}, "kwargs", None),
    "label": ({"label": "x" * 1_025}, "label", 1_024),
    "label of a wrong type": ({"label": 5}, "label", None),
    "key": ({"task_key": "k" * 1_025}, "task_key", 1_024),
    "key of many bytes": ({"task_key": "é" * 513}, "task_key", 1_024),
    "NUL": ({"task_key": "a\0"}, "task_key", None),
    "surrogate": ({"task_key": "\ud800"}, "task_key", None),
    "key of a wrong type": ({"task_key": 5}, "task_key", None),
}
"""The arguments, the field that the error names, and the maximum, per case."""


@each_submission
@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_label_or_key_is_refused_and_the_coroutine_closed(
    store: TaskManager, submit: Submit, case: str
) -> None:
    coroutine = add(1, 2)
    options, field, maximum = REFUSED[case]

    with pytest.raises(InvalidInputError) as refused:
        submit(coroutine, **options)

    assert is_closed(coroutine)
    assert (refused.value.field, refused.value.maximum) == (field, maximum)
    assert maximum is None or f"{field} must be at most {maximum:,}" in str(refused.value)
    assert store.count() == 0


@each_submission
@pytest.mark.parametrize("work", [None, 5, add, asyncio.sleep, "no.such.name", "", object(), [add]])
def test_an_argument_that_is_not_work_is_refused(store: TaskManager, submit: Submit, work: Any) -> None:
    with pytest.raises(ValueError, match=r"no function is registered|takes a coroutine"):
        submit(work)
    assert store.count() == 0


@each_submission
@pytest.mark.parametrize(
    ("arguments", "kind"),
    [({"a": 1}, InvalidInputError), ({"a": 1, "b": 2, "c": 3}, InvalidInputError)]
    + [({"a": 1, "b": bad}, PayloadError) for bad in (object(), float("nan"), {1: 2}, "x" * 1_048_576, b"")],
)
def test_arguments_that_do_not_fit_the_function_are_refused(
    store: TaskManager, submit: Submit, arguments: dict[str, Any], kind: type[Exception]
) -> None:
    tasks.register("fitting")(add)
    with pytest.raises(kind):
        submit("fitting", **arguments)
    assert store.count() == 0


@each_submission
def test_without_a_user_work_is_refused_and_the_coroutine_closed(submit: Submit) -> None:
    module_sdk.configure(url="memory://")
    coroutine = add(1, 2)
    with pytest.raises(SessionRequiredError) as refused:
        submit(coroutine)
    assert isinstance(refused.value, ValueError)
    assert is_closed(coroutine)


@each_submission
def test_without_a_manager_work_is_refused_and_the_coroutine_closed(submit: Submit) -> None:
    module_sdk.configure(url=None)
    coroutine = add(1, 2)
    with module_sdk.session(user={"id": 1}), pytest.raises(RuntimeError):
        submit(coroutine)
    assert is_closed(coroutine)


@each_submission
def test_a_store_that_fails_closes_the_coroutine_and_keeps_its_error_as_cause(submit: Submit) -> None:
    def away(record: Any) -> None:
        raise TaskBackendUnavailableError("away") from OSError("driver")

    manager = FaultyManager()
    manager.after_create = away
    module_sdk.configure(manager=manager)
    coroutine = add(1, 2)

    with module_sdk.session(user={"id": 1}), pytest.raises(TaskBackendUnavailableError) as failed:
        submit(coroutine)
    assert isinstance(failed.value.__cause__, OSError)
    assert is_closed(coroutine)


def test_a_submission_to_a_replaced_configuration_raises_and_closes_the_coroutine(memory: World) -> None:
    # given a runner whose configuration has been replaced
    runner = executor_of(module_sdk.facade.runtime.get_runtime()).runner()
    asyncio.run(tasks.alist_user_tasks(1))
    module_sdk.configure(url="memory://")
    coroutine = add(1, 2)

    with pytest.raises(RuntimeError):
        asyncio.run(runner.submit_async(coroutine, "x", None, {}, 5))
    assert is_closed(coroutine)


def test_a_replaced_configuration_starts_no_runner(memory: World) -> None:
    # given a caller that still has the earlier configuration
    earlier = module_sdk.facade.runtime.get_runtime()
    module_sdk.configure(url="memory://")

    # then no runner may start there, because nothing would shut it down at exit
    with pytest.raises(RuntimeError, match="replaced"):
        executor_of(earlier).runner()


# --- Functions by name ------------------------------------------------------------------------------------------------


RESERVED: dict[str, Any] = {
    "label": lambda a, label: None,
    "task_key": lambda *, task_key=None: None,
    "coro_or_name": lambda coro_or_name: None,
}


@pytest.mark.parametrize("parameter", RESERVED)
def test_parameters_that_run_background_takes_itself_are_refused(parameter: str) -> None:
    with pytest.raises(ValueError, match=parameter) as refused:
        tasks.register("taken")(RESERVED[parameter])
    assert isinstance(refused.value, InvalidInputError)
    assert refused.value.field == parameter


@pytest.mark.parametrize("function", [None, 5, "text", dict, type], ids=repr)
def test_an_object_that_is_no_function_or_has_no_signature_is_refused(function: Any) -> None:
    with pytest.raises(InvalidInputError, match="function") as refused:
        tasks.register("nothing")(function)
    assert refused.value.field == "function"


@pytest.mark.parametrize("name", ["", "x" * 1_025, "a\0", None, 5])
def test_a_name_that_no_function_can_have_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInputError):
        tasks.register(name)


def test_a_name_belongs_to_one_function_and_a_reload_replaces_it() -> None:
    tasks.register("only.one")(add)
    assert tasks.register("only.one")(add) is add
    with pytest.raises(ValueError, match=r"taken by tests\.support\.sample_work\.add"):
        tasks.register("only.one")(submit_and_wait)
    with pytest.raises(ValueError, match="taken"):
        tasks.register("only.one")(functools.partial(add, 1))
