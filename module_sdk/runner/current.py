"""What the code inside a task sees of it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Generator
from typing import Any

from module_sdk.errors import ModuleSDKError
from module_sdk.runner import work_calls
from module_sdk.runner.run import Run, running


class Done(Awaitable[None]):
    """What has already happened: awaiting it returns at once."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


class CurrentTask:
    """The task that the running code belongs to."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def id(self) -> str:
        return self._run.id

    @property
    def cancelled(self) -> bool:
        """Whether this process was asked to stop the task. A function must look at it now and then."""
        return self._run.cancelled.is_set()

    def update_progress(self, progress: float, checkpoint: object = None, label: str | None = None) -> Awaitable[None]:
        """Store how far this task is: await it in a coroutine. In a function the call itself stores it.

        Args and raises: see `tasks.update_progress`.
        """
        import asyncio  # noqa: PLC0415  # as in async_calls.py

        # Not what the task is, but where the caller stands: async work may call functions on threads.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            return work_calls.update_progress(self.id, progress, checkpoint, label)
        work_calls.update_progress_sync(self.id, progress, checkpoint, label)
        return Done()


def current() -> CurrentTask:
    """Return the task that the calling code runs in.

    Raises:
        ModuleSDKError: The code does not run in a task.
    """
    run = running.get()
    if run is None:
        raise ModuleSDKError("there is no current task: the code does not run in one")
    return CurrentTask(run)
