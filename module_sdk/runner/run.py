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
"""Every run whose code may still be going on, also after a shutdown has recorded it as interrupted."""


class Run:
    """From the moment the task is recorded to the moment its end is."""

    def __init__(self, task: Task, work: Coroutine[Any, Any, Any] | Callable[[], Any]) -> None:
        self.task = task
        self.work = work
        self.name: str = task.function or str(getattr(work, "__qualname__", task.id))
        self.cancelled = threading.Event()
        self.ended: Future[None] = Future()
        # Running, so that nobody who stops waiting for it can cancel it for the others.
        self.ended.set_running_or_notify_cancel()
        self.has_begun = False
        self.is_ending = False
        self.is_recorded = False
        """Whether a shutdown has recorded its end."""
        self.lock = threading.Lock()
        # Held while a question or an answer is being written, so that none of them overtakes another.
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
        """Close a coroutine that never ran, which Python would otherwise warn of; one that ran does not mind."""
        if callable(self.work):
            return
        try:
            self.work.close()
        except BaseException as error:  # one that ran may do anything when it is closed
            report(logging.WARNING, "the coroutine of task %s could not be closed", self.id, error=error)

    def settle(self, error: TaskCancelledError) -> None:
        """End the wait for a confirmation, if there is one."""
        waiting = self.confirmation
        if waiting is not None and self.take(waiting):
            settle(waiting, error)

    def take(self, waiting: Future[dict[str, Any]]) -> bool:
        """Whether the caller is the one to settle this response: of several callers, the first."""
        with self.lock:
            is_taken = self.confirmation is waiting
            if is_taken:
                self.confirmation = None
        return is_taken

    def end(self) -> None:
        """What is to be recorded of it has been; a second call does nothing."""
        self.settle(TaskCancelledError(f"task {self.id} has ended"))
        with self.lock:
            if not self.ended.done():
                self.ended.set_result(None)

    def stop(self) -> None:
        """Tell the work to stop, as well as that can be done: a thread has to look."""
        self.cancelled.set()
        self.settle(TaskCancelledError(f"task {self.id} was cancelled"))
        if self.asyncio_task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the work with it
                self.asyncio_task.get_loop().call_soon_threadsafe(self.asyncio_task.cancel)


def settle(waiting: Future[dict[str, Any]], response: dict[str, Any] | TaskCancelledError) -> bool:
    """Whether the asker receives it: not if the asker gave up before."""
    if not waiting.set_running_or_notify_cancel():
        return False
    if isinstance(response, TaskCancelledError):
        waiting.set_exception(response)
    else:
        waiting.set_result(response)
    return True
