"""One task that this process is running."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from module_sdk.domain.reports import report
from module_sdk.domain.task import Task
from module_sdk.errors import TaskCancelledError

if TYPE_CHECKING:
    import asyncio

running: contextvars.ContextVar[Run | None] = contextvars.ContextVar("module_sdk_run", default=None)
live_runs: weakref.WeakValueDictionary[str, Run] = weakref.WeakValueDictionary()
"""Every run whose code may still be running, even after a shutdown has recorded it as interrupted."""


class Run:
    """One execution of a task in this process, from the recording of the task to the recording of its end."""

    def __init__(self, task: Task, work: Coroutine[Any, Any, Any] | Callable[[], Any]) -> None:
        self.task = task
        self.work = work
        self.name: str = task.function or str(getattr(work, "__qualname__", task.id))
        self.cancelled = threading.Event()
        self.ended: Future[None] = Future()
        # Marked as running, so that a waiter that gives up cannot cancel it for the others.
        self.ended.set_running_or_notify_cancel()
        self.has_begun = False
        self.is_ending = False
        self.is_recorded = False
        """Whether a shutdown has recorded its end."""
        self.lock = threading.Lock()
        # Acquired while a question or an answer is written, so that they are written in order.
        self.asking = threading.Lock()
        self.confirmation: Future[dict[str, Any]] | None = None
        """The response to the question that was asked last, unless that has been answered or withdrawn."""
        self.asyncio_task: asyncio.Task[None] | None = None
        live_runs[task.id] = self

    @property
    def id(self) -> str:
        return self.task.id

    @property
    def is_async(self) -> bool:
        return not callable(self.work)

    def drop_work(self) -> None:
        """Close the coroutine of the work, so that Python does not warn of one that never ran.

        Closing a coroutine that has finished does nothing.
        """
        if callable(self.work):
            return
        try:
            self.work.close()
        except BaseException as error:  # the code of a coroutine that has begun may raise anything when it is closed
            report(logging.WARNING, "the coroutine of task %s could not be closed", self.id, error=error)

    def settle(self, error: TaskCancelledError) -> None:
        """End the wait for a confirmation with this error, if the task waits for one."""
        waiting = self.confirmation
        if waiting is not None and self.take(waiting):
            settle(waiting, error)

    def take(self, waiting: Future[dict[str, Any]]) -> bool:
        """Return whether this caller must settle the response. Only the first of several callers gets true."""
        with self.lock:
            is_taken = self.confirmation is waiting
            if is_taken:
                self.confirmation = None
        return is_taken

    def end(self) -> None:
        """Mark the run as ended once its end is recorded. A second call does nothing."""
        self.settle(TaskCancelledError(f"task {self.id} has ended"))
        with self.lock:
            if not self.ended.done():
                self.ended.set_result(None)

    def stop(self) -> None:
        """Tell the work to stop. A coroutine is cancelled; a function on a thread must check `cancelled` itself."""
        self.cancelled.set()
        self.settle(TaskCancelledError(f"task {self.id} was cancelled"))
        if self.asyncio_task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the work with it
                self.asyncio_task.get_loop().call_soon_threadsafe(self.asyncio_task.cancel)


def settle(waiting: Future[dict[str, Any]], response: dict[str, Any] | TaskCancelledError) -> bool:
    """Settle the response, and return whether the asker receives it. It does not if it gave up before."""
    if not waiting.set_running_or_notify_cancel():
        return False
    if isinstance(response, TaskCancelledError):
        waiting.set_exception(response)
    else:
        waiting.set_result(response)
    return True
