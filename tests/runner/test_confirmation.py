"""Asking for a confirmation, and answering it."""

from __future__ import annotations

import asyncio
import threading
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
from tests.support.sample_work import Gate, add, get, until, until_status

UNKNOWN = "01890000-0000-7000-8000-000000000000"
QUESTION = {"question": "Delete 5 files?"}

forms = pytest.mark.parametrize("form", ["coroutine", "function"])


def ask(form: str, question: Any = QUESTION) -> str:
    """Submit work that asks `question` and returns the response; return the id of the task."""

    async def coroutine() -> Any:
        return await tasks.request_confirmation(tasks.current().id, question)

    @tasks.register(f"asking.{id(coroutine)}")
    def function() -> Any:
        return tasks.request_confirmation_sync(tasks.current().id, question)

    return tasks.run_background_sync(coroutine() if form == "coroutine" else f"asking.{id(coroutine)}", task_key="k")


@forms
def test_work_pauses_until_somebody_answers(store: TaskManager, form: str) -> None:
    task_id = ask(form)
    task = until_status(store, task_id, "waiting_confirmation")
    view = module_sdk.models.background_tasks.view(task_id)

    # when the question is answered; until then the task keeps its key
    assert task.confirmation == QUESTION
    assert view is not None
    assert view["confirmation"] == QUESTION
    assert tasks.run_background_sync(add(1, 2), task_key="k") == task_id
    tasks.respond_confirmation(task_id, {"answer": ("yes", 1)})

    view = tasks.wait(task_id, 10)
    assert (view["status"], view["result"], view["confirmation"]) == ("completed", {"answer": ["yes", 1]}, None)


@forms
def test_the_question_may_be_a_component(store: TaskManager, form: str) -> None:
    builder = ui.Builder().add(ui.Text("Sure?")).add(ui.Button("Yes", on_click="confirm"))
    task_id = ask(form, builder)
    assert until_status(store, task_id, "waiting_confirmation").confirmation == builder.to_dict()
    asyncio.run(tasks.arespond_confirmation(task_id, {}))
    assert tasks.wait(task_id, 10)["result"] == {}


def test_work_may_ask_several_questions_in_turn(store: TaskManager) -> None:
    async def work() -> list[Any]:
        return [await tasks.request_confirmation(tasks.current().id, {"number": number}) for number in range(3)]

    task_id = tasks.run_background_sync(work())

    for number in range(3):
        until_asked(store, task_id, {"number": number})
        tasks.respond_confirmation(task_id, {"answer": number})

    assert tasks.wait(task_id, 10)["result"] == [{"answer": number} for number in range(3)]


def until_asked(manager: TaskManager, task_id: str, question: Any) -> None:
    until(lambda: get(manager, task_id).confirmation == question)


@forms
@pytest.mark.parametrize(
    "question", [None, object(), {1: 2}, "x" * 1_048_576, float("nan")], ids=lambda value: repr(value)[:10]
)
def test_a_question_that_cannot_be_stored_raises_in_the_work(store: TaskManager, form: str, question: Any) -> None:
    view = tasks.wait(ask(form, question), 10)
    assert view["status"] == "failed"
    assert str(view["error"]).startswith("PayloadError: ")


@pytest.mark.parametrize("response", [None, "yes", ["yes"], 5, True, {1: 2}, {"x": object()}, {"x": float("nan")}])
def test_a_response_that_is_not_a_json_object_is_refused_and_the_task_keeps_waiting(
    store: TaskManager, response: Any
) -> None:
    task_id = ask("coroutine")
    until_status(store, task_id, "waiting_confirmation")

    with pytest.raises(InvalidInputError):
        tasks.respond_confirmation(task_id, response)

    assert get(store, task_id).status == "waiting_confirmation"
    tasks.respond_confirmation(task_id, {"now": "right"})
    assert tasks.wait(task_id, 10)["result"] == {"now": "right"}


def test_one_of_many_concurrent_responses_is_accepted_and_the_others_raise(store: TaskManager) -> None:
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

    threads = [threading.Thread(target=respond, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(accepted), len(refused)) == (1, 7)
    assert tasks.wait(task_id, 10)["result"] == {"by": accepted[0]}


def test_questions_and_responses_that_do_not_fit_the_task_are_refused(store: TaskManager) -> None:
    # given a running task, an ended one, one of another process, and an unknown id
    gate = Gate()
    running = gate.submit("coroutine")
    ended = tasks.run_background_sync(add(1, 2))
    tasks.wait(ended, 10)
    elsewhere, _ = store.create(module_sdk.Task.new(user_id=7, organization_id=3, module="m"))
    for status in ("running", "waiting_confirmation"):
        store.update(elsewhere.id, status=status)

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


def test_a_session_is_needed_to_answer_a_question_but_not_to_ask_it(store: TaskManager) -> None:
    gate = Gate("done")
    task_id = gate.submit("coroutine")
    answers: list[Any] = []
    asker = threading.Thread(target=lambda: answers.append(tasks.request_confirmation_sync(task_id, QUESTION)))
    asker.start()
    until_status(store, task_id, "waiting_confirmation")

    refused: list[Exception] = []

    def respond() -> None:
        try:
            tasks.respond_confirmation(task_id, {})
        except SessionRequiredError as error:
            refused.append(error)

    without_session = threading.Thread(target=respond)
    without_session.start()
    without_session.join()
    tasks.respond_confirmation(task_id, {"yes": 1})
    asker.join()

    assert answers == [{"yes": 1}]
    assert len(refused) == 1
    gate.opened.set()
    assert tasks.wait(task_id, 10)["result"] == "done"


# --- Waits that end without an answer --------------------------------------------------------------------------------


@forms
def test_cancelling_a_task_ends_its_wait_for_an_answer(store: TaskManager, form: str) -> None:
    raised: list[type[BaseException]] = []

    async def coroutine() -> None:
        try:
            await tasks.request_confirmation(tasks.current().id, QUESTION)
        except (TaskCancelledError, asyncio.CancelledError) as error:
            raised.append(type(error))
            raise

    @tasks.register("cancelled.asking")
    def function() -> None:
        try:
            tasks.request_confirmation_sync(tasks.current().id, QUESTION)
        except TaskCancelledError as error:
            raised.append(type(error))
            raise

    task_id = tasks.run_background_sync(coroutine() if form == "coroutine" else "cancelled.asking")
    until_status(store, task_id, "waiting_confirmation")

    assert tasks.cancel(task_id)

    until(lambda: len(raised) == 1)
    assert get(store, task_id).error == "cancelled"
    with pytest.raises(IllegalTransitionError):
        tasks.respond_confirmation(task_id, {})


@forms
def test_work_that_stops_waiting_for_an_answer_completes(store: TaskManager, form: str) -> None:
    # given work that waits briefly: the coroutine with a timeout, the function on a second thread
    async def coroutine() -> str:
        try:
            await asyncio.wait_for(tasks.request_confirmation(tasks.current().id, QUESTION), 0.05)
        except TimeoutError:
            await tasks.current().update_progress(0.9)
        return "without an answer"

    askers: list[threading.Thread] = []
    released: list[Exception] = []

    @tasks.register("giving.up")
    def function() -> str:
        task_id = tasks.current().id

        def wait_for_answer() -> None:
            try:
                tasks.request_confirmation_sync(task_id, QUESTION)
            except TaskCancelledError as error:
                released.append(error)

        askers.append(threading.Thread(target=wait_for_answer))
        askers[0].start()
        until_status(store, task_id, "waiting_confirmation")
        return "without an answer"

    view = tasks.wait(tasks.run_background_sync(coroutine() if form == "coroutine" else "giving.up", task_key="k"), 10)

    # then the task completes, and the thread that waits for an answer is released
    assert (view["status"], view["result"]) == ("completed", "without an answer")
    for asker in askers:
        asker.join(10)
        assert not asker.is_alive()
        assert len(released) == 1


def test_work_that_stopped_waiting_may_ask_again(store: TaskManager) -> None:
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

    tasks.respond_confirmation(task_id, {"yes": 1})

    assert tasks.wait(task_id, 10)["result"] == {"yes": 1}


def test_a_second_question_is_refused_while_the_first_is_open(store: TaskManager) -> None:
    task_id = ask("coroutine")
    until_status(store, task_id, "waiting_confirmation")

    with pytest.raises(IllegalTransitionError):
        tasks.request_confirmation_sync(task_id, {"another": "question"})

    assert get(store, task_id).confirmation == QUESTION
    tasks.respond_confirmation(task_id, {"yes": 1})
    assert tasks.wait(task_id, 10)["result"] == {"yes": 1}


def test_a_task_can_be_cancelled_at_the_moment_of_the_answer(store: TaskManager) -> None:
    # given an observer that cancels the task as soon as it is notified that the task runs again
    answered = threading.Event()

    class Cancelling:
        def module_sdk_task_changed(self, row: Any, change: str) -> None:
            if change == "running" and answered.is_set():
                tasks.cancel(row["id"])

    task_id = ask("function")
    until_status(store, task_id, "waiting_confirmation")
    module_sdk.register_observer(Cancelling())
    answered.set()

    tasks.respond_confirmation(task_id, {"yes": 1})

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
