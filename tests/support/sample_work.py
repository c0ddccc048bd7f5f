"""Work for tests to submit, and functions that wait for a status or a condition."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from module_sdk import tasks
from module_sdk.domain.task import Task
from module_sdk.store.manager import TaskManager


async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


async def submit_and_wait(*arguments: Any, **options: Any) -> str:
    task_id = await tasks.run_background(*arguments, **options)
    await tasks.await_task(task_id, 10)
    return task_id


def submit_async(*arguments: Any, **options: Any) -> str:
    """Submit on a new event loop that ends with the task, and return the task's id."""
    return asyncio.run(submit_and_wait(*arguments, **options))


Submit = Callable[..., str]
each_submission = pytest.mark.parametrize("submit", [tasks.run_background_sync, submit_async], ids=["sync", "async"])


def is_closed(coroutine: Coroutine[Any, Any, Any]) -> bool:
    """Return whether the coroutine has ended; one that neither ran nor was closed would warn and so fail the test."""
    return inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def run_for_ever(coroutine: Coroutine[Any, Any, Any], *, cancels: bool = True) -> Any:
    """Run a coroutine with `run_forever`, as servers do, and return its result.

    With `cancels` the tasks that are left on the loop are cancelled before the loop is closed. An exception that ends
    the loop is raised.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)
    task.add_done_callback(lambda _: loop.stop())
    try:
        loop.run_forever()
        return task.result()
    finally:
        left = asyncio.all_tasks(loop) if cancels else set()
        for remaining in left:
            remaining.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True)) if left else None
        loop.close()


class Work:
    """Work that can be submitted as a coroutine or a function, and sets `begun` when it runs."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    async def coroutine(self) -> Any:
        raise NotImplementedError

    def function(self) -> Any:
        raise NotImplementedError

    def submit(self, form: str, **options: Any) -> str:
        """Submit as `coroutine` or `function`, and return once the work has begun."""
        if form == "coroutine":
            task_id = tasks.run_background_sync(self.coroutine(), **options)
        else:
            name = f"work.{id(self)}"
            tasks.register(name)(self.function)
            task_id = tasks.run_background_sync(name, **options)
        assert self.begun.wait(10)
        return task_id


class Gate(Work):
    """Work that ends when `opened` is set."""

    def __init__(self, result: Any = None) -> None:
        super().__init__()
        self.result = result
        self.opened = threading.Event()

    async def coroutine(self) -> Any:
        self.begun.set()
        while not self.opened.is_set():
            await asyncio.sleep(0.002)
        return self.result

    def function(self) -> Any:
        self.begun.set()
        assert self.opened.wait(30)
        return self.result


class Stoppable(Work):
    """Work that runs until it is cancelled; `received` has the types of its coroutine's exceptions."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = threading.Event()
        self.received: list[type[BaseException]] = []

    async def coroutine(self) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            self.received.append(type(error))
            raise
        finally:
            self.stopped.set()

    def function(self) -> None:
        self.begun.set()
        while not tasks.current().cancelled:
            time.sleep(0.002)
        self.stopped.set()


def get(manager: TaskManager, task_id: str) -> Task:
    task = manager.get(task_id)
    assert task is not None
    return task


def until_status(manager: TaskManager, task_id: str, status: str, seconds: float = 10) -> Task:
    """Wait until the task has the status, and return it."""
    deadline = time.monotonic() + seconds
    while (task := get(manager, task_id)).status != status:
        assert time.monotonic() < deadline, f"the status is still {task.status}"
        time.sleep(0.002)
    return task


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition is still false"
        time.sleep(0.002)
