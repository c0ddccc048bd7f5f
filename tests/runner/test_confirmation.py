"""Asking for a confirmation, and answering it (DESIGN.md, "running work")."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks, ui
from module_sdk.errors import (
    CapabilityError,
    IllegalTransitionError,
    InvalidInputError,
    PayloadError,
    SessionRequiredError,
    TaskCancelledError,
    TaskNotFoundError,
)
from module_sdk.store.manager import TaskManager
from tests.support.sample_work import Gate, add, get, until_status

UNKNOWN = "01890000-0000-7000-8000-000000000000"
QUESTION = {"question": "Delete 5 files?"}

forms = pytest.mark.parametrize("form", ["coroutine", "function"])


def ask(form: str, question: Any = QUESTION) -> str:
    """Submit work that asks and returns the response; its id, once it waits."""

    async def coroutine() -> Any:
        return await tasks.request_confirmation(tasks.current().id, question)

    @tasks.register(f"asking.{id(coroutine)}")
    def function() -> Any:
        return tasks.request_confirmation_sync(tasks.current().id, question)

    return tasks.run_background_sync(coroutine() if form == "coroutine" else f"asking.{id(coroutine)}", task_key="k")


@forms
def test_work_pauses_until_somebody_answers(store: TaskManager, form: str) -> None:
    # given
    task_id = ask(form)
    task = until_status(store, task_id, "waiting_confirmation")
    view = module_sdk.models.background_tasks.view(task_id)

    # when it holds its key meanwhile
    assert task.confirmation == QUESTION
    assert view is not None
    assert view["confirmation"] == QUESTION
    assert tasks.run_background_sync(add(1, 2), task_key="k") == task_id
    tasks.respond_confirmation(task_id, {"answer": ("yes", 1)})

    # then
    view = tasks.wait(task_id, 10)
    assert (view["status"], view["result"], view["confirmation"]) == ("completed", {"answer": ["yes", 1]}, None)


@forms
def test_the_question_may_be_a_component(store: TaskManager, form: str) -> None:
    builder = ui.Builder().add(ui.Text("Sure?")).add(ui.Button("Yes", on_click="confirm"))
    task_id = ask(form, builder)
    assert until_status(store, task_id, "waiting_confirmation").confirmation == builder.to_dict()
    asyncio.run(tasks.arespond_confirmation(task_id, {}))
    assert tasks.wait(task_id, 10)["result"] == {}


def test_work_may_ask_again_and_again(store: TaskManager) -> None:
    # given
    async def work() -> list[Any]:
        return [await tasks.request_confirmation(tasks.current().id, {"number": number}) for number in range(3)]

    task_id = tasks.run_background_sync(work())

    # when
    for number in range(3):
        until_asked(store, task_id, {"number": number})
        tasks.respond_confirmation(task_id, {"answer": number})

    # then
    assert tasks.wait(task_id, 10)["result"] == [{"answer": number} for number in range(3)]


def until_asked(manager: TaskManager, task_id: str, question: Any) -> None:
    until(lambda: get(manager, task_id).confirmation == question)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came about")


@forms
@pytest.mark.parametrize(
    "question", [None, object(), {1: 2}, "x" * 1_048_576, float("nan")], ids=lambda value: repr(value)[:10]
)
def test_a_question_that_cannot_be_stored_is_refused_and_the_task_goes_on(
    store: TaskManager, form: str, question: Any
) -> None:
    view = tasks.wait(ask(form, question), 10)
    assert view["status"] == "failed"
    assert str(view["error"]).startswith("PayloadError: ")


@pytest.mark.parametrize("response", [None, "yes", ["yes"], 5, True, {1: 2}, {"x": object()}, {"x": float("nan")}])
def test_a_response_that_is_not_a_json_object_is_refused_and_the_task_waits_on(
    store: TaskManager, response: Any
) -> None:
    # given
    task_id = ask("coroutine")
    until_status(store, task_id, "waiting_confirmation")

    # when
    with pytest.raises(InvalidInputError):
        tasks.respond_confirmation(task_id, response)

    # then
    assert get(store, task_id).status == "waiting_confirmation"
    tasks.respond_confirmation(task_id, {"now": "right"})
    assert tasks.wait(task_id, 10)["result"] == {"now": "right"}


def test_of_many_responses_at_once_one_counts_and_the_others_are_told(store: TaskManager) -> None:
    # given
    task_id = ask("coroutine")
    until_status(store, task_id, "waiting_confirmation")
    together, accepted, refused = threading.Barrier(8), [], []

    def respond(number: int) -> None:
        with module_sdk.session(user={"id": number, "organization_id": 3}):
            together.wait(10)
            try:
                tasks.respond_confirmation(task_id, {"by": number})
            except IllegalTransitionError:
                refused.append(number)
            else:
                accepted.append(number)

    # when
    threads = [threading.Thread(target=respond, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then
    assert (len(accepted), len(refused)) == (1, 7)
    assert tasks.wait(task_id, 10)["result"] == {"by": accepted[0]}


def test_answering_what_was_not_asked(store: TaskManager) -> None:
    # given a task that runs, one that has ended, one of another process, and none
    gate = Gate()
    running = gate.submit("coroutine")
    ended = tasks.run_background_sync(add(1, 2))
    tasks.wait(ended, 10)
    elsewhere, _ = store.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m"))
    for status in ("running", "waiting_confirmation"):
        store.update(elsewhere.id, status=status)

    # then
    for task_id, kind in (
        (running, IllegalTransitionError),
        (ended, IllegalTransitionError),
        (elsewhere.id, CapabilityError),
        (UNKNOWN, TaskNotFoundError),
        ("no id", TaskNotFoundError),
    ):
        with pytest.raises(kind):
            tasks.respond_confirmation(task_id, {})
    with pytest.raises(TaskNotFoundError):
        tasks.request_confirmation_sync(UNKNOWN, QUESTION)
    with pytest.raises(CapabilityError):
        tasks.request_confirmation_sync(elsewhere.id, QUESTION)
    with pytest.raises(IllegalTransitionError):
        tasks.request_confirmation_sync(ended, QUESTION)
    gate.opened.set()


def test_a_confirmation_may_be_asked_for_without_a_session_but_not_answered(store: TaskManager) -> None:
    # given
    gate = Gate("done")
    task_id = gate.submit("coroutine")
    answers: list[Any] = []
    helper = threading.Thread(target=lambda: answers.append(tasks.request_confirmation_sync(task_id, QUESTION)))
    helper.start()
    until_status(store, task_id, "waiting_confirmation")

    # when
    refused: list[Exception] = []

    def respond() -> None:
        try:
            tasks.respond_confirmation(task_id, {})
        except SessionRequiredError as error:
            refused.append(error)

    stranger = threading.Thread(target=respond)
    stranger.start()
    stranger.join()
    tasks.respond_confirmation(task_id, {"yes": 1})
    helper.join()

    # then
    assert answers == [{"yes": 1}]
    assert len(refused) == 1
    gate.opened.set()
    assert tasks.wait(task_id, 10)["result"] == "done"


# --- Giving up -------------------------------------------------------------------------------------------------------


@forms
def test_cancelling_ends_the_wait(store: TaskManager, form: str) -> None:
    # given
    told: list[type[BaseException]] = []

    async def coroutine() -> None:
        try:
            await tasks.request_confirmation(tasks.current().id, QUESTION)
        except (TaskCancelledError, asyncio.CancelledError) as error:
            told.append(type(error))
            raise

    @tasks.register("cancelled.asking")
    def function() -> None:
        try:
            tasks.request_confirmation_sync(tasks.current().id, QUESTION)
        except TaskCancelledError as error:
            told.append(type(error))
            raise

    task_id = tasks.run_background_sync(coroutine() if form == "coroutine" else "cancelled.asking")
    until_status(store, task_id, "waiting_confirmation")

    # when
    assert tasks.cancel(task_id)

    # then
    until(lambda: len(told) == 1)
    assert get(store, task_id).error == "cancelled"
    with pytest.raises(IllegalTransitionError):
        tasks.respond_confirmation(task_id, {})


@forms
def test_work_that_gives_up_waiting_completes_all_the_same(store: TaskManager, form: str) -> None:
    # given work that waits for a moment, in its own way
    async def coroutine() -> str:
        try:
            await asyncio.wait_for(tasks.request_confirmation(tasks.current().id, QUESTION), 0.05)
        except TimeoutError:
            await tasks.current().update_progress(0.9)
        return "without an answer"

    helpers: list[threading.Thread] = []
    given_up: list[Exception] = []

    @tasks.register("giving.up")
    def function() -> str:
        task_id = tasks.current().id

        def wait_for_answer() -> None:
            try:
                tasks.request_confirmation_sync(task_id, QUESTION)
            except TaskCancelledError as error:
                given_up.append(error)

        helpers.append(threading.Thread(target=wait_for_answer))
        helpers[0].start()
        until_status(store, task_id, "waiting_confirmation")
        return "without an answer"

    # when
    view = tasks.wait(tasks.run_background_sync(coroutine() if form == "coroutine" else "giving.up", task_key="k"), 10)

    # then, and who still waited for an answer waits no longer
    assert (view["status"], view["result"]) == ("completed", "without an answer")
    for helper in helpers:
        helper.join(10)
        assert not helper.is_alive()
        assert len(given_up) == 1


def test_work_that_gave_up_waiting_may_ask_again(store: TaskManager) -> None:
    # given
    async def work() -> Any:
        task_id = tasks.current().id
        for number in range(3):
            try:
                return await asyncio.wait_for(
                    tasks.request_confirmation(task_id, {"number": number}), 0.05 + number * 30
                )
            except TimeoutError:
                continue
        return "never answered"

    task_id = tasks.run_background_sync(work())
    until_asked(store, task_id, {"number": 1})

    # when
    tasks.respond_confirmation(task_id, {"yes": 1})

    # then
    assert tasks.wait(task_id, 10)["result"] == {"yes": 1}


def test_asking_twice_at_once_is_refused_and_the_first_question_stays(store: TaskManager) -> None:
    # given
    task_id = ask("coroutine")
    until_status(store, task_id, "waiting_confirmation")

    # when
    with pytest.raises(IllegalTransitionError):
        tasks.request_confirmation_sync(task_id, {"another": "question"})

    # then
    assert get(store, task_id).confirmation == QUESTION
    tasks.respond_confirmation(task_id, {"yes": 1})
    assert tasks.wait(task_id, 10)["result"] == {"yes": 1}


def test_a_cancel_in_the_moment_of_the_answer_harms_neither(store: TaskManager) -> None:
    # given an observer that cancels the task when it is told that it runs again
    answered = threading.Event()

    class Cancelling:
        def module_sdk_task_changed(self, row: Any, change: str) -> None:
            if change == "running" and answered.is_set():
                tasks.cancel(row["id"])

    task_id = ask("function")
    until_status(store, task_id, "waiting_confirmation")
    module_sdk.register_observer(Cancelling())
    answered.set()

    # when
    tasks.respond_confirmation(task_id, {"yes": 1})

    # then
    assert tasks.wait(task_id, 10)["error"] == "cancelled"


@pytest.mark.parametrize("kind", [StopIteration, OSError, PayloadError])
def test_a_builder_that_raises_does_not_hang_the_work(store: TaskManager, kind: type[Exception]) -> None:
    class Broken:
        def to_dict(self) -> Any:
            raise kind("broken", field="x") if kind is PayloadError else kind("broken")

    async def work() -> None:
        await tasks.request_confirmation(tasks.current().id, Broken())

    view = tasks.wait(tasks.run_background_sync(work()), 10)
    assert view["status"] == "failed"
