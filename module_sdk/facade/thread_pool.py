"""The threads of asynchronous calls.

`concurrent.futures.ThreadPoolExecutor` cannot be used: it refuses work as soon as the interpreter begins to exit,
before `atexit` functions run. One such function waits a few seconds for running tasks, which must record their ends.
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

Submitted = tuple[Callable[[], Any], "Future[Any]"]


class ThreadPool:
    """At most `maximum_threads` daemon threads, started when there is work for them."""

    def __init__(self, maximum_threads: int) -> None:
        self.maximum_threads = maximum_threads
        # Reentrant, because a signal handler may submit a call while this thread submits one.
        self.lock = threading.RLock()
        self.submitted: queue.SimpleQueue[Submitted | None] = queue.SimpleQueue()
        self.threads: set[threading.Thread] = set()
        # One entry per thread that has nothing to do and is not reserved for a submitted call.
        self.idle: collections.deque[None] = collections.deque()
        self.is_closed = False

    def submit(self, call: Callable[[], Any], *, cancellable: bool = True) -> Future[Any]:
        """Run `call` as soon as a thread is free, and return its future.

        Cancelling the future before the call begins drops the call, unless it is not `cancellable`. Raises
        `ConfigurationError` after `close`, and `TaskBackendUnavailableError` if the pool can start no thread at all.
        """
        future: Future[Any] = Future()
        if not cancellable:
            future.set_running_or_notify_cancel()
        with self.lock:
            if self.is_closed:
                raise ConfigurationError("the configuration was replaced while this call was being made")
            try:
                self.idle.pop()
            except IndexError:
                if len(self.threads) < self.maximum_threads or self.remove_ended():
                    self.add_thread()
            self.submitted.put((call, future))
        return future

    def add_thread(self) -> None:
        thread = threading.Thread(target=self.work, name="module-sdk-async", daemon=True)
        # Added before it starts: an interrupt in between must not leave a running thread that is not counted.
        self.threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            self.threads.discard(thread)
            if not self.threads:
                raise TaskBackendUnavailableError(f"the call has no thread to run on: {error}") from error
            # The system can start no more threads, so the call waits for one of the running threads.

    def remove_ended(self) -> bool:
        """Remove threads that an interrupt kept from starting, and return whether there were any."""
        missing = {thread for thread in self.threads if not thread.is_alive()}
        self.threads -= missing
        return bool(missing)

    def work(self) -> None:
        while (next_call := self.submitted.get()) is not None:
            call, future = next_call
            if future.running() or future.set_running_or_notify_cancel():
                settle(call, future)
            # Release the call and its result while the thread waits for the next one.
            del next_call, call, future
            # No lock is taken, because all threads would contend for it after each call. If calls are queued, this
            # thread is not idle: it takes one of them next, and the entry is one too many. That does no harm, because
            # calls are queued only if all threads are busy and no other could be started.
            self.idle.append(None)

    def close(self) -> None:
        """Let the threads end after all submitted calls."""
        with self.lock:
            self.is_closed = True
            for _ in range(len(self.threads)):
                self.submitted.put(None)


def settle(call: Callable[[], Any], future: Future[Any]) -> None:
    """Make the call and settle its future. Never raise, since that would end the thread.

    The callbacks of the future run here, and they may raise anything.
    """
    try:
        result = call()
    except BaseException as error:  # the waiter raises it
        with contextlib.suppress(BaseException):
            future.set_exception(error)
    else:
        with contextlib.suppress(BaseException):
            future.set_result(result)
