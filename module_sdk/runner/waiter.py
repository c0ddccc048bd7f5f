"""Waiting for the end of a task, in a thread or in a coroutine."""

from __future__ import annotations

import time
from concurrent import futures
from typing import Final

from module_sdk.domain.shapes import AnyTaskId, TaskView
from module_sdk.domain.timestamps import check_timeout
from module_sdk.errors import TaskNotFoundError
from module_sdk.facade import async_calls
from module_sdk.facade.runtime import Runtime, get_runtime
from module_sdk.facade.sessions import session_scope
from module_sdk.runner.executor import local_run
from module_sdk.store.deadlines import limited

FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 0.5
# A read of the store gets at least this much time, even if the caller's timeout is 0.
SHORTEST_READ_SECONDS: Final = 0.25


class Waiting:
    """Polls the store for the end of a task. `run_ended` is done as soon as a task of this process ends."""

    def __init__(self, task_id: AnyTaskId, timeout_seconds: float) -> None:
        self.task_id = task_id
        self.timeout_seconds = check_timeout(timeout_seconds)
        self.deadline = time.monotonic() + self.timeout_seconds
        self.pause = FIRST_PAUSE_SECONDS
        self.runtime: Runtime | None = None
        self.run_ended: futures.Future[None] | None = None

    def read_deadline(self) -> float:
        """Return the deadline of a read that begins now."""
        return max(self.deadline, time.monotonic() + SHORTEST_READ_SECONDS)

    def read(self) -> TaskView | None:
        """Return the task's view if it has ended. On `None`, the caller waits up to `pause` seconds and reads again.

        Raises `TimeoutError` after the deadline, `TaskNotFoundError`, and the errors of the store.
        """
        # Keep the first configuration: a store that was chosen in the meantime does not contain the task.
        runtime = self.runtime = self.runtime or get_runtime()
        task = runtime.manager().get(self.task_id, organization_id=session_scope())
        if task is None:
            raise TaskNotFoundError(f"there is no task {self.task_id}")
        if not task.is_active:
            return task.to_view()
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"task {self.task_id} is still {task.status} after {self.timeout_seconds:g} s")
        run = local_run(runtime, self.task_id)
        self.run_ended = None if run is None else run.ended
        longest = LONGEST_PAUSE_SECONDS if run is not None else min(2 * self.pause, LONGEST_PAUSE_SECONDS)
        self.pause = min(left, longest)
        return None


def wait(task_id: AnyTaskId, timeout_seconds: float) -> TaskView:
    """Wait in this thread for the end of a task, and return its view."""
    waiting = Waiting(task_id, timeout_seconds)
    while (view := limited(waiting.read, waiting.read_deadline())) is None:
        if waiting.run_ended is None:
            time.sleep(waiting.pause)
        else:
            futures.wait([waiting.run_ended], waiting.pause)
    return view


async def await_end(task_id: AnyTaskId, timeout_seconds: float) -> TaskView:
    """Wait in this coroutine for the end of a task, and return its view.

    No thread is occupied between two reads, because the work may need one to record its end.
    """
    import asyncio  # noqa: PLC0415  # as in async_calls.py

    waiting = Waiting(task_id, timeout_seconds)
    ended: dict[futures.Future[None], asyncio.Future[None]] = {}
    try:
        while True:
            threads = (await async_calls.runtime_off_loop()).threads()
            view = await async_calls.run_on(threads, waiting.read, deadline=waiting.read_deadline())
            if view is not None:
                return view
            run_ended = waiting.run_ended
            if run_ended is None:
                await asyncio.sleep(waiting.pause)
            else:
                if run_ended not in ended:
                    ended[run_ended] = asyncio.wrap_future(run_ended)
                await asyncio.wait([ended[run_ended]], timeout=waiting.pause)
    finally:
        for future in ended.values():
            future.cancel()
