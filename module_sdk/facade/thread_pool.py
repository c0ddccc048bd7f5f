"""Threads for asynchronous calls.

Not `concurrent.futures.ThreadPoolExecutor`: that refuses work as soon as the interpreter begins to exit, before
`atexit` runs, and the tasks that are given a last few seconds there must still record how they ended.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from module_sdk.errors import ConfigurationError, TaskBackendUnavailableError

Job = tuple[Callable[[], Any], "Future[Any]"]


class ThreadPool:
    """At most so many daemon threads, started when there is work for them."""

    def __init__(self, most_threads: int) -> None:
        self.most_threads = most_threads
        # Reentrant, since a signal's handler may submit work while this thread does.
        self.lock = threading.RLock()
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.threads: set[threading.Thread] = set()
        # One entry for each thread that has nothing to do, and that no job has been promised to.
        self.idle: collections.deque[None] = collections.deque()
        self.is_closed = False

    def submit(self, call: Callable[[], Any], *, cancellable: bool = True) -> Future[Any]:
        """Run it when a thread is free. Cancelling the future before that drops it, unless it is not `cancellable`.

        Raises `ConfigurationError` after `close`, and `TaskBackendUnavailableError` if no thread can be started at all.
        """
        future: Future[Any] = Future()
        if not cancellable:
            future.set_running_or_notify_cancel()
        with self.lock:
            if self.is_closed:
                raise ConfigurationError("the configuration was replaced while this call was on its way")
            try:
                self.idle.pop()
            except IndexError:
                if len(self.threads) < self.most_threads or self.forget_ended():
                    self.add_thread()
            self.jobs.put((call, future))
        return future

    def add_thread(self) -> None:
        thread = threading.Thread(target=self.work, name="module-sdk-async", daemon=True)
        # Before it starts: an interrupt in between must not leave a thread that nobody counts.
        self.threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            self.threads.discard(thread)
            if not self.threads:
                raise TaskBackendUnavailableError(f"the call has no thread to run on: {error}") from error
            # The system has no more to give: the job waits for one of ours.

    def forget_ended(self) -> bool:
        """Whether a thread is missing that an interrupt kept from starting."""
        missing = {thread for thread in self.threads if not thread.is_alive()}
        self.threads -= missing
        return bool(missing)

    def work(self) -> None:
        while (job := self.jobs.get()) is not None:
            call, future = job
            if future.running() or future.set_running_or_notify_cancel():
                settle(call, future)
            # Not kept while the thread waits for more work.
            del job, call, future
            # Without the lock, for which all threads would queue after each job. Once all threads run, jobs may wait,
            # and this promises a thread that will take one of those first: no harm, since no thread could be started.
            self.idle.append(None)

    def close(self) -> None:
        """Let the threads end when they have done what was submitted."""
        with self.lock:
            self.is_closed = True
            for _ in range(len(self.threads)):
                self.jobs.put(None)


def settle(call: Callable[[], Any], future: Future[Any]) -> None:
    """Never raises, or the pool would lose the thread: what waits for the future may do anything when it is told."""
    try:
        result = call()
    except BaseException as error:  # the waiter raises it
        with contextlib.suppress(BaseException):
            future.set_exception(error)
    else:
        with contextlib.suppress(BaseException):
            future.set_result(result)
