"""Functions that return an awaitable, generators, and calls that nobody awaits."""

from __future__ import annotations

import asyncio
import collections.abc
import concurrent.futures
import functools
import gc
import inspect
import logging
import threading
import types
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import InvalidInputError
from module_sdk.facade.runtime import get_runtime
from module_sdk.runner.executor import executor_of
from module_sdk.store.manager import TaskManager
from module_sdk.testing import USER, World
from tests.support.sample_work import Stoppable, Submit, add, each_submission, is_closed, until


def ordinary(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `function` as most decorators do, without regard for async functions."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class AsyncObject:
    async def __call__(self, a: int, b: int) -> int:
        return await add(a, b)


class Awaitable:
    """An awaitable that is neither a coroutine nor a future, such as the query of an ORM."""

    def __init__(self, result: int) -> None:
        self.result = result

    def __await__(self) -> Generator[Any, Any, int]:
        yield from asyncio.sleep(0).__await__()
        return self.result


class Compiled(collections.abc.Coroutine[Any, Any, int]):
    """A coroutine of its own type, as compilers such as Cython make them."""

    def __init__(self, a: int, b: int) -> None:
        self.inner = add(a, b)

    def __await__(self) -> Generator[Any, Any, int]:
        return self.inner.__await__()

    def send(self, value: Any) -> Any:
        return self.inner.send(value)

    def throw(self, *error: Any) -> Any:
        return self.inner.throw(*error)

    def close(self) -> None:
        self.inner.close()


@types.coroutine
def old_style(a: int, b: int) -> Generator[Any, Any, int]:
    yield from asyncio.sleep(0).__await__()
    return a + b


async def forgotten_inside(a: int, b: int) -> Any:
    return add(a, b)


def in_a_thread(a: int, b: int) -> concurrent.futures.Future[int]:
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: a + b)


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield an event loop of the host that runs on another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


RETURN_AWAITABLE: dict[str, Callable[..., Any]] = {
    "decorated": ordinary(add),
    "decorated twice": ordinary(ordinary(add)),
    "partial of a decorated one": functools.partial(ordinary(add), b=2),
    "partial of an object": functools.partial(AsyncObject(), b=2),
    "decorated object": ordinary(AsyncObject()),
    "a call of it": lambda a, b: add(b, a),
    "awaitable": lambda a, b: Awaitable(a + b),
    "compiled": Compiled,
    "old style": old_style,
    "forgotten inside": forgotten_inside,
    "forgotten and decorated": ordinary(forgotten_inside),
    "future of a thread": in_a_thread,
}


@each_submission
@pytest.mark.parametrize("case", RETURN_AWAITABLE)
def test_an_awaitable_that_a_function_returns_is_awaited(store: TaskManager, submit: Submit, case: str) -> None:
    tasks.register("returned")(RETURN_AWAITABLE[case])
    view = tasks.wait(submit("returned", a=1, b=2, task_key="k"), 10)
    assert (view["status"], view["result"], view["error"]) == ("completed", 3, None)


def test_a_compiled_coroutine_is_work(store: TaskManager) -> None:
    assert tasks.wait(tasks.run_background_sync(Compiled(1, 2)), 10)["result"] == 3


@pytest.mark.parametrize("kind", ["task", "future", "done"])
def test_a_future_of_another_loop_is_awaited_on_that_loop(
    store: TaskManager, other_loop: asyncio.AbstractEventLoop, kind: str
) -> None:
    async def make() -> asyncio.Future[int]:
        if kind == "task":
            return other_loop.create_task(add(1, 2))
        future = other_loop.create_future()
        if kind == "done":
            future.set_result(3)
        else:
            other_loop.call_later(0.02, future.set_result, 3)
        return future

    def work() -> Any:
        return asyncio.run_coroutine_threadsafe(make(), other_loop).result()

    tasks.register("other.loop")(work)
    view = tasks.wait(tasks.run_background_sync("other.loop"), 10)
    assert (view["result"], view["error"]) == (3, None)


def test_a_future_that_can_never_be_done_fails_the_task(store: TaskManager) -> None:
    loop = asyncio.new_event_loop()
    tasks.register("no.loop")(loop.create_future)
    view = tasks.wait(tasks.run_background_sync("no.loop"), 10)
    loop.close()
    assert view["error"] == "RuntimeError: the work returned a future of an event loop that does not run"


def test_a_returned_coroutine_has_its_session_and_task_and_can_be_cancelled(store: TaskManager) -> None:
    stoppable = Stoppable()
    seen: list[Any] = []

    async def work() -> None:
        seen.append((tasks.current().id, module_sdk.current_session()))
        await stoppable.coroutine()

    tasks.register("returned.stoppable")(ordinary(work))
    task_id = tasks.run_background_sync("returned.stoppable")
    assert stoppable.begun.wait(10)

    assert tasks.cancel(task_id)

    assert stoppable.stopped.wait(10)
    assert stoppable.received == [asyncio.CancelledError]
    assert seen == [(task_id, module_sdk.current_session())]
    assert tasks.wait(task_id, 10)["error"] == "cancelled"
    until(lambda: not executor_of(get_runtime()).runner().runs)


def test_an_exception_of_a_returned_coroutine_is_the_error_of_the_task(store: TaskManager) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("inside")

    tasks.register("returned.failing")(ordinary(fail))
    assert tasks.wait(tasks.run_background_sync("returned.failing"), 10)["error"] == "ValueError: inside"


def test_a_returned_coroutine_does_not_occupy_a_function_thread() -> None:
    # given one thread for functions
    module_sdk.configure(url="memory://", max_running_tasks=1)
    gate = threading.Event()

    async def work() -> str:
        while not gate.is_set():
            await asyncio.sleep(0.002)
        return "done"

    tasks.register("returned.waiting")(ordinary(work))
    tasks.register("next")(gate.set)
    with module_sdk.session(user=USER):
        first = tasks.run_background_sync("returned.waiting")
        tasks.wait(tasks.run_background_sync("next"), 10)

        assert tasks.wait(first, 10)["result"] == "done"


# --- Generators -------------------------------------------------------------------------------------------------------


def generator(count: int) -> Iterator[int]:
    yield from range(count)


async def async_generator(count: int) -> Any:
    for number in range(count):
        yield number


class GeneratorObject:
    def __call__(self, count: int) -> Iterator[int]:
        yield from range(count)

    def method(self, count: int) -> Iterator[int]:
        yield from range(count)

    async def async_method(self, count: int) -> Any:
        yield count


GENERATORS: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "async generator": async_generator,
    "partial": functools.partial(generator, count=1),
    "partial of a partial": functools.partial(functools.partial(async_generator), count=1),
    "object": GeneratorObject(),
    "partial of an object": functools.partial(GeneratorObject(), count=1),
    "method": GeneratorObject().method,
    "async method": GeneratorObject().async_method,
}


@pytest.mark.parametrize("case", GENERATORS)
def test_a_generator_function_is_refused_when_it_is_registered(case: str) -> None:
    with pytest.raises(InvalidInputError, match="is a generator function") as refused:
        tasks.register("generator")(GENERATORS[case])
    assert refused.value.field == "function"


def test_a_decorator_may_turn_a_generator_into_a_function(memory: World) -> None:
    tasks.register("listed")(functools.wraps(generator)(lambda count: list(generator(count))))
    assert tasks.wait(tasks.run_background_sync("listed", count=3), 10)["result"] == [0, 1, 2]


@pytest.mark.parametrize("function", [generator, async_generator], ids=["generator", "async generator"])
@pytest.mark.parametrize("form", ["function", "coroutine"])
def test_a_generator_that_work_returns_fails_the_task_and_is_closed(
    store: TaskManager, form: str, function: Callable[..., Any]
) -> None:
    made: list[Any] = []

    def work() -> Any:
        made.append(function(3))
        return made[0]

    async def coroutine() -> Any:
        return work()

    tasks.register("returns.generator")(work)

    view = tasks.wait(tasks.run_background_sync(coroutine() if form == "coroutine" else "returns.generator"), 10)

    assert view["status"] == "failed"
    assert str(view["error"]).startswith("TypeError: the work returned a")
    assert "generator, whose code would never run: return a list instead" in str(view["error"])
    if inspect.isgenerator(made[0]):
        assert inspect.getgeneratorstate(made[0]) == inspect.GEN_CLOSED
    else:
        assert made[0].ag_frame is None


# --- Calls that nobody awaits -----------------------------------------------------------------------------------------


@pytest.fixture
def forget(caplog: pytest.LogCaptureFixture) -> Callable[[Callable[[], object]], list[str]]:
    """Return a function that makes a call, drops the result, and returns the errors logged by then."""

    def drop(call: Callable[[], object]) -> list[str]:
        with warnings.catch_warnings(), caplog.at_level(logging.ERROR, "module_sdk.tasks"):
            warnings.simplefilter("ignore", RuntimeWarning)  # Python's own warning, which is shown as well
            call()
            gc.collect()
        return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]

    return drop


@pytest.mark.parametrize("facade", ["module", "bound"])
def test_a_submission_that_nobody_awaits_is_logged_and_its_coroutine_closed(
    store: TaskManager, forget: Callable[[Callable[[], object]], list[str]], facade: str
) -> None:
    namespace: Any = tasks if facade == "module" else module_sdk.bind({"user": USER}, "m").tasks
    coroutine = add(1, 2)

    logged = forget(lambda: namespace.run_background(coroutine, "Sum"))

    (message,) = logged
    assert message.startswith("run_background(add) was never awaited, so it did nothing: await it, or call ")
    assert "run_background_sync" in message
    assert is_closed(coroutine)
    assert store.count() == 0


def test_other_calls_that_nobody_awaits_are_logged(forget: Callable[[Callable[[], object]], list[str]]) -> None:
    assert "run_background(reports.monthly) was never" in forget(lambda: tasks.run_background("reports.monthly"))[-1]
    assert "update_progress_sync" in forget(lambda: tasks.update_progress("id", 0.5))[-1]
    assert "emit_progress_sync" in forget(lambda: tasks.emit_progress("id", 0.5))[-1]
    assert "request_confirmation_sync" in forget(lambda: tasks.request_confirmation("id", {}))[-1]


def test_python_also_warns_of_a_call_that_nobody_awaits() -> None:
    calls = [tasks.run_background("name")]
    with pytest.warns(RuntimeWarning, match=r"run_background' was never awaited"):
        calls.clear()


def test_a_submission_that_is_awaited_in_any_way_or_closed_on_purpose_is_not_logged(
    store: TaskManager, forget: Callable[[Callable[[], object]], list[str]]
) -> None:
    dropped = [add(1, 2), add(3, 4)]

    async def all_ways() -> None:
        ids = [await tasks.run_background(add(1, 2))]
        ids.append(await asyncio.create_task(tasks.run_background(add(1, 2)), name="one"))
        ids.append(await asyncio.wait_for(tasks.run_background(add(1, 2)), 10))
        ids += await asyncio.gather(tasks.run_background(add(1, 2)), tasks.run_background(add(1, 2)))
        for task_id in ids:
            await tasks.await_task(task_id, 10)
        tasks.run_background(dropped[0]).close()
        cancelled = asyncio.create_task(tasks.run_background(dropped[1]))
        cancelled.cancel()
        await asyncio.wait([cancelled])

    assert forget(lambda: asyncio.run(all_ways())) == []
    assert all(is_closed(coroutine) for coroutine in dropped)
    assert store.count() == 5


def test_run_background_is_an_async_function_to_frameworks() -> None:
    for function in (
        tasks.run_background,
        tasks.update_progress,
        module_sdk.bind({"user": USER}, "m").tasks.run_background,
    ):
        assert asyncio.iscoroutinefunction(function)
        assert inspect.iscoroutinefunction(function)
    call: Any = tasks.run_background("name")
    assert (call.__name__, call.__qualname__) == ("run_background", "run_background")
    assert asyncio.iscoroutine(call)
    call.close()
