"""Questions that are abandoned: the task can ask again, and no answer reaches the wrong question."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import Change, TaskBackendUnavailableError
from module_sdk.errors import IllegalTransitionError
from module_sdk.store.manager import TaskManager
from module_sdk.testing import USER
from tests.support.managers import FaultyManager
from tests.support.sample_work import Gate, get, until_status

FIRST, SECOND = {"question": 1}, {"question": 2}


@pytest.fixture
def faulty() -> Iterator[FaultyManager]:
    """Yield a store whose writes can be interrupted, with a session bound."""
    manager = FaultyManager()
    module_sdk.configure(manager=manager)
    with module_sdk.session(user=USER):
        yield manager


@pytest.fixture
def working() -> Iterator[Callable[[], str]]:
    """Yield a function that starts a task and returns its id; the task runs until the test has ended."""
    gates: list[Gate] = []

    def start() -> str:
        gates.append(Gate())
        return gates[-1].submit("function")

    yield start
    for gate in gates:
        gate.opened.set()


class Pausing:
    """A hook that pauses the first write of one status, before or after it takes effect, until `release` is set."""

    def __init__(self, manager: FaultyManager, moment: str, status: str) -> None:
        self.reached, self.release = threading.Event(), threading.Event()
        self.status = status
        setattr(manager, f"{moment}_update", self.pause)

    def pause(self, change: Change) -> None:
        if change.fields.get("status") == self.status and not self.reached.is_set():
            self.reached.set()
            assert self.release.wait(10)


async def ask_again_and_be_answered(manager: TaskManager, task_id: str) -> Any:
    """Ask a second question, answer it, and return the answer; fail if another answer arrives first."""
    second = asyncio.ensure_future(tasks.request_confirmation(task_id, SECOND))
    while get(manager, task_id).confirmation != SECOND:
        assert not second.done(), second.result()
        await asyncio.sleep(0.002)
    await tasks.arespond_confirmation(task_id, {"answer": 2})
    return await second


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_question_abandoned_while_it_is_written_leaves_the_task_able_to_ask(
    faulty: FaultyManager, working: Callable[[], str], moment: str
) -> None:
    task_id = working()
    pausing = Pausing(faulty, moment, "waiting_confirmation")

    async def work() -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tasks.request_confirmation(task_id, FIRST), 0.1)
        assert pausing.reached.is_set()
        pausing.release.set()

        # when the first question is answered
        with pytest.raises(IllegalTransitionError):
            await tasks.arespond_confirmation(task_id, {"answer": 1})
        return await ask_again_and_be_answered(faulty, task_id)

    assert asyncio.run(work()) == {"answer": 2}
    assert get(faulty, task_id).status == "running"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_next_question_may_be_asked_at_once(faulty: FaultyManager, working: Callable[[], str], moment: str) -> None:
    task_id = working()
    pausing = Pausing(faulty, moment, "waiting_confirmation")

    async def work() -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tasks.request_confirmation(task_id, FIRST), 0.1)
        asyncio.get_running_loop().call_later(0.05, pausing.release.set)
        return await ask_again_and_be_answered(faulty, task_id)

    assert asyncio.run(work()) == {"answer": 2}


@pytest.mark.parametrize("steps", [*range(12), 50])
def test_a_question_may_be_abandoned_at_any_step(store: TaskManager, working: Callable[[], str], steps: int) -> None:
    task_id = working()

    async def work() -> Any:
        first = asyncio.ensure_future(tasks.request_confirmation(task_id, FIRST))
        for _ in range(steps):
            await asyncio.sleep(0 if steps < 50 else 0.002)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await ask_again_and_be_answered(store, task_id)

    assert asyncio.run(work()) == {"answer": 2}


def test_a_question_abandoned_while_it_waits_for_a_thread_is_never_written(
    faulty: FaultyManager, working: Callable[[], str]
) -> None:
    # given one thread for all async calls, which is busy
    module_sdk.configure(manager=faulty, async_threads=1)
    task_id = working()
    busy = threading.Event()
    module_sdk.facade.runtime.get_runtime().threads().submit(lambda: busy.wait(10))
    asked: list[Any] = []
    faulty.before_update = lambda change: asked.append(change.fields.get("confirmation"))

    async def work() -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tasks.request_confirmation(task_id, FIRST), 0.05)
        busy.set()
        return await ask_again_and_be_answered(faulty, task_id)

    assert asyncio.run(work()) == {"answer": 2}
    assert asked == ['{"question":2}', None]


def test_an_abandoned_question_is_withdrawn_and_answers_to_it_are_refused(
    store: TaskManager, working: Callable[[], str]
) -> None:
    task_id = working()

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(tasks.request_confirmation(task_id, FIRST), 0.1))

    # then the record says that the task runs again
    assert until_status(store, task_id, "running").confirmation is None
    with pytest.raises(IllegalTransitionError):
        tasks.respond_confirmation(task_id, {"answer": 1})


class Interrupt(BaseException):
    """The exception that a signal handler raises in the middle of a call."""


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupt

    earlier = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(Interrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


@pytest.mark.parametrize("moment", ["before", "after", "waiting"])
def test_a_signal_that_interrupts_the_synchronous_call_leaves_the_task_able_to_ask(
    faulty: FaultyManager, working: Callable[[], str], moment: str
) -> None:
    task_id = working()
    if moment != "waiting":
        Pausing(faulty, moment, "waiting_confirmation")

    with interrupted_after(0.2):
        tasks.request_confirmation_sync(task_id, FIRST)

    with pytest.raises(IllegalTransitionError):
        tasks.respond_confirmation(task_id, {"answer": 1})
    assert asyncio.run(ask_again_and_be_answered(faulty, task_id)) == {"answer": 2}


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("abandoned_before", [False, True])
def test_a_builder_that_raises_leaves_the_task_able_to_ask(
    store: TaskManager, working: Callable[[], str], kind: type[BaseException], abandoned_before: bool
) -> None:
    task_id = working()

    class Broken:
        def to_dict(self) -> Any:
            raise kind

    if abandoned_before:
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(tasks.request_confirmation(task_id, FIRST), 0.1))

    with pytest.raises(kind):
        tasks.request_confirmation_sync(task_id, Broken())

    assert asyncio.run(ask_again_and_be_answered(store, task_id)) == {"answer": 2}


def test_a_question_whose_acknowledgement_is_lost_does_not_block_the_next(
    faulty: FaultyManager, working: Callable[[], str]
) -> None:
    # given a store that writes the question but whose reply is lost
    task_id = working()

    def lose(change: Change) -> None:
        faulty.after_update = lambda change: None
        raise TaskBackendUnavailableError("the reply was lost")

    faulty.after_update = lose
    with pytest.raises(TaskBackendUnavailableError):
        tasks.request_confirmation_sync(task_id, FIRST)

    assert asyncio.run(ask_again_and_be_answered(faulty, task_id)) == {"answer": 2}


def test_an_answer_that_is_written_while_the_question_is_abandoned_is_refused(
    faulty: FaultyManager, working: Callable[[], str]
) -> None:
    # given an answer whose write is paused
    task_id = working()
    pausing = Pausing(faulty, "before", "running")
    refused: list[Exception] = []

    def answer() -> None:
        with module_sdk.session(user=USER):
            try:
                tasks.respond_confirmation(task_id, {"answer": 1})
            except IllegalTransitionError as error:
                refused.append(error)

    answering = threading.Thread(target=answer)

    async def work() -> Any:
        first = asyncio.ensure_future(tasks.request_confirmation(task_id, FIRST))
        while get(faulty, task_id).status != "waiting_confirmation":
            await asyncio.sleep(0.002)
        answering.start()
        await asyncio.to_thread(pausing.reached.wait, 10)

        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        asyncio.get_running_loop().call_later(0.05, pausing.release.set)
        return await ask_again_and_be_answered(faulty, task_id)

    assert asyncio.run(work()) == {"answer": 2}
    answering.join()
    assert len(refused) == 1


@pytest.mark.parametrize("on_another_thread", [False, True])
def test_a_subscriber_may_answer_as_soon_as_it_is_notified_of_the_question(
    store: TaskManager, working: Callable[[], str], on_another_thread: bool
) -> None:
    task_id = working()

    def answer() -> None:
        with module_sdk.session(user=USER):
            tasks.respond_confirmation(task_id, {"by": "a rule"})

    def listen(event: Any) -> None:
        if event.get("change") == "waiting_confirmation":
            if on_another_thread:
                answering = threading.Thread(target=answer)
                answering.start()
                answering.join(10)
                assert not answering.is_alive()
            else:
                answer()

    with tasks.subscribe(listen):
        assert tasks.request_confirmation_sync(task_id, FIRST) == {"by": "a rule"}


def test_a_question_for_a_pending_task_is_refused_and_the_task_stays_pending(store: TaskManager) -> None:
    module_sdk.configure(manager=store, max_running_tasks=1)
    first, second = Gate(), Gate()
    first.submit("function")
    tasks.register("second")(second.function)
    task_id = tasks.run_background_sync("second")

    for _ in range(2):
        with pytest.raises(IllegalTransitionError):
            tasks.request_confirmation_sync(task_id, FIRST)

    assert get(store, task_id).status == "pending"
    first.opened.set()
    second.opened.set()
    tasks.wait(task_id, 10)
