"""The current task, as its own code sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Generator
from typing import Any

from module_sdk.errors import ModuleSDKError
from module_sdk.runner import work_calls
from module_sdk.runner.run import Run, running


class Done(Awaitable[None]):
    """An awaitable whose work is already done, so awaiting it returns at once."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


class CurrentTask:
    """The task to which the running code belongs."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def id(self) -> str:
        return self._run.id

    @property
    def cancelled(self) -> bool:
        """Whether this process was asked to stop the task. A long-running function must check it regularly."""
        return self._run.cancelled.is_set()

    def update_progress(self, progress: float, checkpoint: object = None, label: str | None = None) -> Awaitable[None]:
        """Store the progress of this task. Await the call in a coroutine; in a function the call itself stores it.

        It takes the arguments of `tasks.update_progress` after the id, and raises the same errors.
        """
        import asyncio  # noqa: PLC0415  # as in async_calls.py

        # The thread of the caller decides, not the kind of task: async work may call functions on other threads.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            return work_calls.update_progress(self.id, progress, checkpoint, label)
        work_calls.update_progress_sync(self.id, progress, checkpoint, label)
        return Done()


def current() -> CurrentTask:
    """Return the task in which the calling code runs.

    Raises:
        ModuleSDKError: The code does not run in a task.
    """
    run = running.get()
    if run is None:
        raise ModuleSDKError("there is no current task: the calling code does not run in a task")
    return CurrentTask(run)
