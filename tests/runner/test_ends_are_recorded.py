"""An end is recorded, no matter what work raises or returns and what logging or listeners do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import Change, TaskBackendUnavailableError
from module_sdk.domain.shapes import TaskView
from module_sdk.facade.runtime import get_runtime
from module_sdk.runner.executor import executor_of
from module_sdk.runner.outcome import CANCELLED_BY_HOST
from module_sdk.store.manager import TaskManager
from module_sdk.testing import USER
from tests.support.hostile import (
    Abort,
    AbortsAsTextError,
    EndlessItems,
    EndlessTextError,
    ExitingClass,
    ExitingField,
    ExitingItems,
    ExitingIteration,
    ExitingModel,
    ExitsAsClassError,
    ExitsAsTextError,
    ExitsAsTracebackError,
    InterruptsAsTextError,
    NamelessError,
    NoMemoryForTextError,
    NoTextError,
    OwnTextError,
    RaisingObserver,
    Unprintable,
    failed_by_pytest,
    leave,
)
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, Stoppable, add, run_for_ever, until, until_status

# --- Work, in each of its forms ---------------------------------------------------------------------------------------


def run_function(call: Callable[[], Any]) -> TaskView:
    tasks.register(f"work.{id(call)}")(call)
    return tasks.wait(tasks.run_background_sync(f"work.{id(call)}", task_key="k"), 10)


async def as_coroutine(call: Callable[[], Any]) -> Any:
    await asyncio.sleep(0)
    return call()


def run_on_our_loop(call: Callable[[], Any]) -> TaskView:
    return tasks.wait(tasks.run_background_sync(as_coroutine(call), task_key="k"), 10)


def run_on_the_callers_loop(call: Callable[[], Any]) -> TaskView:
    ids: list[str] = []

    async def main() -> None:
        ids.append(await tasks.run_background(as_coroutine(call), task_key="k"))
        await tasks.await_task(ids[0], 10)

    try:
        run_for_ever(main())
    except (SystemExit, KeyboardInterrupt) as error:  # asyncio re-raises these two out of the loop
        assert not ids or error.args == EXIT  # noqa: PT017  # the host's loop may end, but need not
    return tasks.wait(ids[0], 10)


EXIT = ("work",)
FORMS = {"function": run_function, "our loop": run_on_our_loop, "the caller's loop": run_on_the_callers_loop}
each_form = pytest.mark.parametrize("run", FORMS.values(), ids=FORMS)


def assert_nothing_is_left() -> None:
    """Assert that no run is kept, and that other work can run, in both forms and under the same key."""
    until(lambda: not executor_of(get_runtime()).runner().runs)
    assert run_function(lambda: 1)["result"] == 1
    assert tasks.wait(tasks.run_background_sync(add(1, 2), task_key="k"), 10)["result"] == 3


@pytest.fixture
def two_threads(store: TaskManager) -> TaskManager:
    """Configure only two threads, so that a lost thread is noticed soon."""
    module_sdk.configure(manager=store, max_running_tasks=2, async_threads=2)
    return store


# --- What work raises -------------------------------------------------------------------------------------------------


NO_MESSAGE = "its message cannot be read"
ERRORS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "own": (lambda: Abort("halt"), "Abort: halt"),
    "group": (
        lambda: BaseExceptionGroup("both", [Abort(), ValueError()]),
        "BaseExceptionGroup: both (2 sub-exceptions)",
    ),
    "group of an exit": (lambda: BaseExceptionGroup("x", [SystemExit(1)]), "BaseExceptionGroup: x (1 sub-exception)"),
    "pytest.fail": (failed_by_pytest, "Failed: told"),
    "cancelled": (lambda: asyncio.CancelledError("nobody"), "CancelledError: nobody"),
    "cancelled future": (concurrent.futures.CancelledError, "CancelledError: "),
    "GeneratorExit": (lambda: GeneratorExit("x"), "GeneratorExit: x"),
    "SystemExit": (lambda: SystemExit(*EXIT), "SystemExit: work"),
    "KeyboardInterrupt": (lambda: KeyboardInterrupt(*EXIT), "KeyboardInterrupt: work"),
    "exits as text": (ExitsAsTextError, f"ExitsAsTextError: {NO_MESSAGE}"),
    "interrupts as text": (InterruptsAsTextError, f"InterruptsAsTextError: {NO_MESSAGE}"),
    "aborts as text": (AbortsAsTextError, f"AbortsAsTextError: {NO_MESSAGE}"),
    "endless text": (EndlessTextError, f"EndlessTextError: {NO_MESSAGE}"),
    "no memory for text": (NoMemoryForTextError, f"NoMemoryForTextError: {NO_MESSAGE}"),
    "no text": (NoTextError, f"NoTextError: {NO_MESSAGE}"),
    "unprintable argument": (lambda: KeyError(Unprintable()), f"KeyError: {NO_MESSAGE}"),
    "exits as class": (lambda: ExitsAsClassError("a"), "ExitsAsClassError: a"),
    "exits as traceback": (lambda: ExitsAsTracebackError("a"), "ExitsAsTracebackError: a"),
    "nameless": (lambda: NamelessError("a"), "NamelessError: a"),
    "text of its own": (OwnTextError, "OwnTextError: odd"),
}


@each_form
@pytest.mark.parametrize("case", ERRORS)
def test_any_exception_of_work_fails_the_task_and_is_logged(
    two_threads: TaskManager, case: str, run: Callable[[Callable[[], Any]], TaskView], caplog: pytest.LogCaptureFixture
) -> None:
    make, text = ERRORS[case]

    def work() -> None:
        raise make()

    with caplog.at_level(logging.ERROR, "module_sdk.tasks"):
        view = run(work)
        until(lambda: any(f"task {view['id']} failed" in record.getMessage() for record in caplog.records))

    assert (view["status"], view["error"], view["result"]) == ("failed", text, None)
    assert_nothing_is_left()


def test_awaiting_a_cancelled_future_fails_the_task(store: TaskManager) -> None:
    async def wait_for_another() -> None:
        other = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    view = tasks.wait(tasks.run_background_sync(wait_for_another()), 10)
    assert (view["status"], view["error"]) == ("failed", "CancelledError: ")


def test_work_that_is_cancelled_on_its_loop_is_interrupted(
    store: TaskManager, caplog: pytest.LogCaptureFixture
) -> None:
    async def cancel_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    task_id = tasks.run_background_sync(cancel_itself())
    view = tasks.wait(task_id, 10)
    assert (view["status"], view["error"]) == ("interrupted", CANCELLED_BY_HOST)
    # The end is recorded before it is logged.
    until(lambda: f"task {task_id} was {CANCELLED_BY_HOST}" in caplog.text)


# --- What work returns ------------------------------------------------------------------------------------------------


RESULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "items": (lambda: ExitingItems(a=1), "SystemExit: hostile"),
    "items inside": (lambda: [{"a": ExitingItems(a=1)}], "SystemExit: hostile"),
    "iteration": (lambda: ExitingIteration([1]), "SystemExit: hostile"),
    "class": (ExitingClass, "SystemExit: hostile"),
    "field": (ExitingField, "KeyboardInterrupt: "),
    "model": (ExitingModel, "PayloadError: result must be JSON: PydanticSerializationError"),
    "endless": (lambda: EndlessItems(a=object()), "PayloadError: result must be JSON: RecursionError"),
}


@each_form
@pytest.mark.parametrize("case", RESULTS)
def test_a_result_that_raises_while_it_is_encoded_fails_the_task(
    two_threads: TaskManager, case: str, run: Callable[[Callable[[], Any]], TaskView]
) -> None:
    make, text = RESULTS[case]
    view = run(make)
    assert (view["status"], view["result"]) == ("failed", None)
    assert str(view["error"]).startswith(text)
    assert_nothing_is_left()


def test_a_result_is_stored_even_if_work_turns_warnings_into_errors(store: TaskManager) -> None:
    class Model(pydantic.BaseModel):
        number: int

    def work() -> Any:
        warnings.simplefilter("error")
        return Model.model_construct(number="of another type")

    with warnings.catch_warnings():
        view = run_function(work)
    assert (view["status"], view["result"]) == ("completed", {"number": "of another type"})


# --- What logging and listeners do ------------------------------------------------------------------------------------


@each_form
def test_an_end_is_recorded_even_if_logging_raises(
    two_threads: TaskManager, raising_log: None, run: Callable[[Callable[[], Any]], TaskView]
) -> None:
    def fail() -> None:
        raise ValueError("x")

    assert run(fail)["error"] == "ValueError: x"
    assert run(object)["error"] == "PayloadError: result must be JSON: object is not"
    assert run(lambda: ExitingItems(a=1))["error"] == "SystemExit: hostile"
    assert_nothing_is_left()


@pytest.mark.parametrize("cancels", [True, False])
def test_the_end_of_a_loop_is_recorded_even_if_logging_raises(
    store: TaskManager, raising_log: None, cancels: bool
) -> None:
    async def submit(gate: Gate) -> str:
        task_id = await tasks.run_background(gate.coroutine(), task_key="k")
        while not gate.begun.is_set():
            await asyncio.sleep(0.002)
        return task_id

    task_id = run_for_ever(submit(Gate()), cancels=cancels)
    assert str(until_status(store, task_id, "interrupted").error).startswith("stopped: ")
    assert_nothing_is_left()


def test_a_shutdown_stops_the_work_even_if_logging_raises(raising_log: None, faulty: FaultyManager) -> None:
    def refuse(change: Change) -> None:
        raise ValueError("no")

    work = Stoppable()
    work.submit("function")
    faulty.before_update = refuse
    tasks.shutdown(0)
    assert work.stopped.wait(10)


def test_an_error_is_printed_to_stderr_if_logging_raises(
    store: TaskManager, raising_log: None, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError("the reason")

    task_id = run_function(fail)["id"]
    printed: list[str] = []

    def has_printed_it() -> bool:
        printed.append(capfd.readouterr().err)
        return "the reason" in "".join(printed)

    until(has_printed_it)
    assert f"task {task_id} failed" in "".join(printed)


def test_a_lookup_never_raises_even_if_logging_raises(raising_log: None) -> None:
    module_sdk.configure(url=None)
    rows = tasks.get_tasks_by_key("k")
    assert rows == []
    assert isinstance(rows.error, RuntimeError)


@each_form
def test_listeners_that_raise_system_exit_change_nothing(
    two_threads: TaskManager, run: Callable[[Callable[[], Any]], TaskView], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    module_sdk.register_observer(RaisingObserver())
    with tasks.subscribe(leave), tasks.subscribe(lambda event: heard.append(str(event.get("change")))):
        view = run(lambda: "done")
        until(lambda: "completed" in heard)

    assert (view["status"], view["result"]) == ("completed", "done")
    assert heard == ["created", "running", "completed"]
    assert "a subscriber of task events raised" in caplog.text
    assert "an observer of module_sdk_task_changed raised" in caplog.text
    assert_nothing_is_left()


def test_a_lookup_never_raises_even_if_an_observer_does() -> None:
    module_sdk.register_observer(RaisingObserver())
    module_sdk.configure(url=None)
    assert isinstance(tasks.get_tasks_by_key("k").error, RuntimeError)


# --- Ends that are recorded late --------------------------------------------------------------------------------------


@pytest.fixture
def faulty() -> Iterator[FaultyManager]:
    manager = FaultyManager()
    module_sdk.configure(manager=manager)
    with module_sdk.session(user=USER):
        yield manager
    module_sdk.reset()


class Failing:
    """A hook that raises `errors`, one per change to completed or failed."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.seen = threading.Event()

    def __call__(self, change: Change) -> None:
        if change.fields.get("status") in ("completed", "failed") and self.errors:
            self.seen.set()
            raise self.errors.pop(0)


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_a_late_end_is_recorded_even_if_logging_raises(faulty: FaultyManager, raising_log: None, form: str) -> None:
    away = TaskBackendUnavailableError("away")
    for result, status in ((object(), "failed"), (ExitingItems(a=1), "failed"), ([1], "completed")):
        faulty.before_update = Failing(away, away)
        gate = Gate(result)
        gate.opened.set()
        assert until_status(faulty, gate.submit(form, task_key="k"), status, 20)
    assert_nothing_is_left()


@pytest.mark.parametrize("hook", ["before_update", "after_update"])
@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_an_end_whose_write_is_interrupted_is_recorded(faulty: FaultyManager, hook: str, form: str) -> None:
    setattr(faulty, hook, Failing(SystemExit(1), Abort(), KeyboardInterrupt()))
    gate = Gate(None)
    gate.opened.set()
    until_status(faulty, gate.submit(form, task_key="k"), "completed", 20)
    assert_nothing_is_left()


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_a_start_whose_write_is_interrupted_fails_the_task(faulty: FaultyManager, form: str) -> None:
    def interrupt(change: Change) -> None:
        if change.fields.get("status") == "running":
            faulty.before_update = lambda change: None
            raise Abort("no")

    faulty.before_update = interrupt

    view = (run_function if form == "function" else run_on_our_loop)(lambda: 1)

    assert (view["status"], view["error"]) == ("failed", "Abort: no")
    assert_nothing_is_left()


def test_an_exception_raised_while_a_coroutine_is_stopped_is_recorded(store: TaskManager) -> None:
    # given work on a loop that ends
    async def main() -> str:
        begun = asyncio.Event()

        async def work() -> None:
            try:
                begun.set()
                await asyncio.sleep(60)
            finally:
                raise Abort("instead")

        task_id = await tasks.run_background(work(), task_key="k")
        await begun.wait()
        return task_id

    task_id = run_for_ever(main())

    assert until_status(store, task_id, "failed").error == "Abort: instead"
    assert_nothing_is_left()
