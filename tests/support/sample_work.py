"""Work for tests to submit, and waiting until a store shows what it should."""

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
    """Submit on a loop of our own, which ends when the task has."""
    return asyncio.run(submit_and_wait(*arguments, **options))


Submit = Callable[..., str]
each_submission = pytest.mark.parametrize("submit", [tasks.run_background_sync, submit_async], ids=["sync", "async"])


def is_closed(coroutine: Coroutine[Any, Any, Any]) -> bool:
    """Whether it can no longer run; one that neither ran nor was closed would warn, which pytest makes an error."""
    return inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def run_for_ever(coroutine: Coroutine[Any, Any, Any], *, cancels: bool = True) -> Any:
    """Run it on a loop that lives on as a server's does, then end that loop, with what is left on it cancelled or not.

    What ends the loop from within is raised.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)
    task.add_done_callback(lambda _: loop.stop())
    try:
        loop.run_forever()
        return task.result()
    finally:
        left = asyncio.all_tasks(loop) if cancels else set()
        for one in left:
            one.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True)) if left else None
        loop.close()


class Work:
    """Work of either form, which tells when it has begun."""

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
    """Goes on when it is let through."""

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
    """Runs until it is told to stop, and keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = threading.Event()
        self.told: list[type[BaseException]] = []

    async def coroutine(self) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            self.told.append(type(error))
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
    """The task, once it has that status."""
    deadline = time.monotonic() + seconds
    while (task := get(manager, task_id)).status != status:
        assert time.monotonic() < deadline, f"the task stays {task.status}"
        time.sleep(0.002)
    return task


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.002)
