"""Async versions behave like the synchronous calls and never block the event loop (clause FAIL-12)."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import module_sdk
from module_sdk import models, tasks
from module_sdk.errors import (
    ConfigurationError,
    InvalidInputError,
    SessionRequiredError,
    TaskBackendUnavailableError,
    TaskNotFoundError,
)
from module_sdk.store.manager import TaskManager
from module_sdk.testing import World
from tests.support.managers import InjectedManager, a_row, raising
from tests.support.sample_work import Gate

UNKNOWN = "01890000-0000-7000-8000-000000000000"
PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "list_user_tasks": (tasks.list_user_tasks, tasks.alist_user_tasks),
    "get_tasks_by_key": (tasks.get_tasks_by_key, tasks.aget_tasks_by_key),
    "get_tasks_by_key_prefix": (tasks.get_tasks_by_key_prefix, tasks.aget_tasks_by_key_prefix),
    "run_background": (tasks.run_background_sync, tasks.run_background),
    "update_progress": (tasks.update_progress_sync, tasks.update_progress),
    "emit_progress": (tasks.emit_progress_sync, tasks.emit_progress),
    "request_confirmation": (tasks.request_confirmation_sync, tasks.request_confirmation),
    "respond_confirmation": (tasks.respond_confirmation, tasks.arespond_confirmation),
    "cancel": (tasks.cancel, tasks.acancel),
    "wait": (tasks.wait, tasks.await_task),
    "shutdown": (tasks.shutdown, tasks.ashutdown),
    "list": (models.background_tasks.list, models.background_tasks.alist),
    "count": (models.background_tasks.count, models.background_tasks.acount),
    "view": (models.background_tasks.view, models.background_tasks.aview),
}


@pytest.mark.parametrize("name", PAIRS)
def test_an_async_version_takes_the_same_arguments(name: str) -> None:
    call, acall = PAIRS[name]
    assert inspect.iscoroutinefunction(acall)
    assert not inspect.iscoroutinefunction(call)
    assert inspect.signature(call).parameters == inspect.signature(acall).parameters


def test_every_call_that_uses_the_store_has_both_versions() -> None:
    paired = {call for pair in PAIRS.values() for call in pair}
    public = {name: getattr(tasks, name) for name in tasks.__all__ if inspect.isfunction(getattr(tasks, name))}
    unpaired = {name for name, call in public.items() if call not in paired}
    assert unpaired == {"current", "lookup_failures", "register", "subscribe"}


class Slow(InjectedManager):
    """A manager whose calls each block their thread for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(lambda *_: time.sleep(seconds) or [a_row()])  # type: ignore[func-returns-value]

    def get(self, task_id: str, *, organization_id: Any) -> None:
        self.look_up("get", task_id, organization_id, None)

    def update(self, task_id: str, *, organization_id: Any, **fields: Any) -> None:
        self.look_up("update", task_id, organization_id, None)

    def page(self, **arguments: Any) -> Any:
        return self.look_up("page", None, None, None)

    def count(self, **arguments: Any) -> int:
        return len(self.look_up("count", None, None, None))


def test_the_loop_runs_on_while_the_store_is_slow() -> None:
    # given a store whose calls take a second each, and async calls of every kind
    module_sdk.configure(manager=Slow(1))

    async def longest_pause() -> float:
        calls: list[Coroutine[Any, Any, Any]] = [
            tasks.alist_user_tasks(1),
            models.background_tasks.alist(),
            models.background_tasks.aview(UNKNOWN),
            models.background_tasks.acount(),
            tasks.acancel(UNKNOWN),
            tasks.update_progress(UNKNOWN, 0.5),
            tasks.emit_progress(UNKNOWN, 0.5),
        ]
        together = asyncio.gather(*calls)
        longest, last = 0.0, time.monotonic()
        while not together.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        await together
        return longest

    with module_sdk.session(user={"id": 1}):
        assert asyncio.run(longest_pause()) < 0.8


def test_async_calls_run_concurrently() -> None:
    # given a store whose calls return only once ten of them are running
    barrier = threading.Barrier(10)
    module_sdk.configure(manager=InjectedManager(lambda *_: [a_row()] if barrier.wait(10) >= 0 else []))

    async def ten() -> list[Any]:
        return await asyncio.gather(*(tasks.aget_tasks_by_key("k") for _ in range(10)))

    assert [len(result) for result in asyncio.run(ten())] == [1] * 10


def test_the_wait_for_a_thread_counts_towards_the_deadline() -> None:
    # given a single thread, which another call occupies
    module_sdk.configure(url="memory://", async_threads=1, lookup_timeout_seconds=0.1)
    release, is_occupied = threading.Event(), threading.Event()

    async def queue_behind() -> Any:
        filters: Any = BlockingFilters(label="x")
        blocking = asyncio.ensure_future(models.background_tasks.acount(filters))
        await asyncio.to_thread(is_occupied.wait, 10)
        began = time.monotonic()
        result = await tasks.alist_user_tasks(1)
        waited = time.monotonic() - began
        release.set()
        assert await blocking == 0
        return result, waited

    class BlockingFilters(dict[str, Any]):
        def items(self) -> Any:
            is_occupied.set()
            release.wait(30)
            return super().items()

    with module_sdk.session(user={"id": 1}):
        result, waited = asyncio.run(queue_behind())

    assert result == []
    assert isinstance(result.error, TaskBackendUnavailableError)
    assert waited < 5
    assert tasks.lookup_failures() == {"list_user_tasks": 1}


def test_any_number_may_wait_for_work_that_itself_needs_a_thread(store: TaskManager) -> None:
    # given a single thread for all async calls, and work that needs it to report progress and to end
    module_sdk.configure(manager=store, async_threads=1)

    async def reporting(number: int) -> int:
        await tasks.current().update_progress(0.5)
        return number

    async def wait_for_all() -> list[Any]:
        ids = [await tasks.run_background(reporting(number)) for number in range(40)]
        return [view["result"] for view in await asyncio.gather(*(tasks.await_task(task_id, 30) for task_id in ids))]

    assert asyncio.run(wait_for_all()) == list(range(40))


def test_a_waiter_that_stops_does_not_stop_the_others(store: TaskManager) -> None:
    # given three waiters for one task
    gate = Gate("done")
    task_id = gate.submit("coroutine")

    async def wait_together() -> list[Any]:
        waiting = [asyncio.ensure_future(tasks.await_task(task_id, 30)) for _ in range(3)]
        await asyncio.sleep(0.05)
        waiting[0].cancel()
        with pytest.raises(TimeoutError):
            await tasks.await_task(task_id, 0.05)
        gate.opened.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    cancelled, *views = asyncio.run(wait_together())

    assert isinstance(cancelled, asyncio.CancelledError)
    assert [view["result"] for view in views] == ["done", "done"]


def test_an_async_shutdown_does_not_block_work_that_needs_a_thread_to_end(store: TaskManager) -> None:
    module_sdk.configure(manager=store, async_threads=1)
    gate = Gate("done")
    task_id = gate.submit("coroutine")
    threading.Timer(0.1, gate.opened.set).start()

    asyncio.run(tasks.ashutdown(timeout_seconds=30))

    assert tasks.wait(task_id, 10)["result"] == "done"


def test_a_cancelled_lookup_ends_at_once_and_the_next_works() -> None:
    # given a store that hangs on the first call
    release, asked = threading.Event(), threading.Event()

    def answer(*_: Any) -> Any:
        if not asked.is_set():
            asked.set()
            release.wait(30)
        return [a_row()]

    module_sdk.configure(manager=InjectedManager(answer))

    async def cancel() -> Any:
        first = asyncio.ensure_future(tasks.alist_user_tasks(1))
        await asyncio.to_thread(asked.wait, 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await tasks.alist_user_tasks(1)

    result = asyncio.run(cancel())

    assert len(result) == 1
    assert tasks.lookup_failures() == {}
    release.set()


def test_a_loop_that_ends_before_the_answer_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    release, asked = threading.Event(), threading.Event()

    def answer(*_: Any) -> Any:
        asked.set()
        release.wait(30)
        return []

    module_sdk.configure(manager=InjectedManager(answer))

    async def leave() -> None:
        asyncio.ensure_future(tasks.alist_user_tasks(1))  # noqa: RUF006  # left behind on purpose
        await asyncio.to_thread(asked.wait, 10)

    asyncio.run(leave())
    release.set()

    module_sdk.configure(url="memory://")
    assert asyncio.run(tasks.alist_user_tasks(1)).error is None
    assert caplog.text == ""


def raised_by(call: Coroutine[Any, Any, Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the caller checks it
        asyncio.run(call)
    assert isinstance(caught.value, Exception)
    return caught.value


def test_async_versions_raise_the_same_errors(memory: World) -> None:
    wrong: Any = {"colour": 1}
    assert isinstance(raised_by(models.background_tasks.alist(page=-1)), InvalidInputError)
    assert isinstance(raised_by(models.background_tasks.acount(wrong)), ValueError)
    assert isinstance(raised_by(tasks.arespond_confirmation(UNKNOWN, {})), TaskNotFoundError)
    assert isinstance(raised_by(tasks.await_task(UNKNOWN, 1)), TaskNotFoundError)
    assert isinstance(raised_by(tasks.update_progress(UNKNOWN, float("nan"))), InvalidInputError)
    module_sdk.configure(url=None)
    assert isinstance(raised_by(models.background_tasks.alist()), ConfigurationError)


def test_an_async_call_without_a_session_is_refused() -> None:
    module_sdk.configure(url="memory://")
    assert isinstance(raised_by(tasks.acancel(UNKNOWN)), SessionRequiredError)


def test_stop_iteration_of_a_store_does_not_hang_an_async_call() -> None:
    # given an injected manager whose count raises an exception that no future can carry
    manager = InjectedManager(raising(OSError("x")))
    manager.count = lambda **_: next(iter([]))  # type: ignore[attr-defined]
    module_sdk.configure(manager=manager)

    with module_sdk.session(user={"id": 1}):
        error = raised_by(asyncio.wait_for(models.background_tasks.acount(), 10))
    assert isinstance(error, RuntimeError)
    assert isinstance(error.__cause__, StopIteration)


def test_the_async_calls_of_one_configuration_use_a_bounded_number_of_threads(store: TaskManager) -> None:
    module_sdk.configure(manager=store, async_threads=4)

    async def many() -> None:
        await asyncio.gather(*(tasks.alist_user_tasks(number) for number in range(200)))

    asyncio.run(many())

    assert len([thread for thread in threading.enumerate() if thread.name == "module-sdk-async"]) <= 4


def test_the_threads_end_with_the_configuration() -> None:
    # An earlier test may have left the watchdog running: a process has one for all configurations.
    earlier = set(threading.enumerate())
    module_sdk.configure(url="memory://")
    asyncio.run(tasks.alist_user_tasks(1))
    started = [thread for thread in threading.enumerate() if thread not in earlier]

    module_sdk.reset()

    assert "module-sdk-async" in [thread.name for thread in started]
    for thread in started:
        thread.join(30)
    assert [thread.name for thread in started if thread.is_alive()] == []
