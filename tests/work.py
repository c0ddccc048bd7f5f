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
from module_sdk.manager import TaskManager
from module_sdk.task import Task


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


class Gate:
    """Work that tells when it has begun and goes on when it is let through, as a coroutine or a function."""

    def __init__(self, result: Any = None) -> None:
        self.result = result
        self.begun = threading.Event()
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

    def submit(self, form: str, **options: Any) -> str:
        """Submit as `coroutine` or `function`, and return once the work has begun."""
        if form == "coroutine":
            task_id = tasks.run_background_sync(self.coroutine(), **options)
        else:
            name = f"gate.{id(self)}"
            tasks.register(name)(self.function)
            task_id = tasks.run_background_sync(name, **options)
        assert self.begun.wait(10)
        return task_id


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
