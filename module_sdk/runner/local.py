"""The local runner: it runs coroutines on an event loop and functions on threads, all in this process."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from typing import Any, Final

from module_sdk.domain.reports import is_a
from module_sdk.domain.statuses import INTERRUPTED
from module_sdk.domain.task_id import TaskId
from module_sdk.errors import (
    ConfigurationError,
    ModuleSDKError,
)
from module_sdk.facade.async_calls import result_of, run_on, submit
from module_sdk.facade.awaited import close_coroutine
from module_sdk.facade.sessions import keep_session
from module_sdk.facade.thread_pool import ThreadPool
from module_sdk.runner import host_loops
from module_sdk.runner.awaitables import as_coroutine, awaited, needs_a_loop, raised_by_coroutine, without_generator
from module_sdk.runner.interruption import Interrupting
from module_sdk.runner.loop_thread import LoopThread
from module_sdk.runner.outcome import (
    CANCELLED,
    LOOP_ENDED,
    SHUTDOWN,
    Outcome,
    completed,
    raised,
)
from module_sdk.runner.process_exit import SHUTTING_DOWN
from module_sdk.runner.recorder import Recorder
from module_sdk.runner.run import Run, running
from module_sdk.runner.submission import record
from module_sdk.store.manager import TaskManager

# How long stopped coroutines may take to end before their loop is stopped.
UNWIND_SECONDS: Final = 1.0


class LocalRunner:
    """Starts recorded work and records how it ended. `runs` contains it in between."""

    def __init__(self, manager: TaskManager, max_running_tasks: int, threads: ThreadPool) -> None:
        self.manager = manager
        self.threads = threads
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.submissions = 0
        self.runs: dict[str, Run] = {}
        self.is_stopping = self.is_shutting_down = self.is_shut_down = False
        self.grace_ends = math.inf
        self.recorder = Recorder(manager, self.forget)
        self.function_threads = ThreadPool(max_running_tasks)
        self.loop_thread = LoopThread()
        self.runs_on_host_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakSet[Run]] = (
            weakref.WeakKeyDictionary()
        )

    # --- Submitting ---------------------------------------------------------------------------------------------------

    def submit(self, coro_or_name: object, label: str, task_key: str | None, kwargs: dict[str, Any]) -> TaskId:
        """Record and start a task and return its id, or return the id of the active task that has the key."""
        task_id, run = self.record(coro_or_name, label, task_key, kwargs)
        if run is not None:
            self.start(run, self.loop_thread.loop if run.is_async else None)
        return task_id

    async def submit_async(
        self, coro_or_name: object, label: str, task_key: str | None, kwargs: dict[str, Any], call_seconds: float
    ) -> TaskId:
        """Do what `submit` does, and run a coroutine on the caller's own loop if that is known to outlive the call.

        If the recording has not begun after `call_seconds`, the task is not recorded.
        """
        loop = asyncio.get_running_loop()
        find_loop = (lambda: loop) if host_loops.lives_on(loop) else self.loop_thread.loop
        deadline = time.monotonic() + call_seconds
        recorded = functools.partial(self.record, coro_or_name, label, task_key, kwargs)
        try:
            recording = submit(self.threads, recorded, deadline=deadline)
            task_id, run = await result_of(recording, deadline)
        except ModuleSDKError:
            close_coroutine(coro_or_name)
            raise
        except asyncio.CancelledError:
            if recording.cancelled():
                close_coroutine(coro_or_name)
            else:
                # The record may be written nevertheless, even after this loop has ended, and its work would never run.
                recording.add_done_callback(self.abandon)
            raise
        if run is not None:
            self.start(run, find_loop if run.is_async else None)
        return task_id

    def record(
        self, coro_or_name: object, label: str, task_key: str | None, kwargs: dict[str, Any]
    ) -> tuple[TaskId, Run | None]:
        try:
            with self.submitting():
                task_id, run = record(self.manager, coro_or_name, label, task_key, kwargs)
                if run is not None:
                    self.admit(run)
        except BaseException:
            close_coroutine(coro_or_name)
            raise
        return task_id, run

    def admit(self, run: Run) -> None:
        """Add the run to `runs`, or end its task and raise `ConfigurationError` if a shutdown has begun."""
        with self.lock:
            if not self.is_stopping:
                self.runs[run.id] = run
                return
        self.end_unstarted(run, SHUTDOWN)
        raise ConfigurationError(SHUTTING_DOWN)

    @contextlib.contextmanager
    def submitting(self) -> Iterator[None]:
        """Make a shutdown wait for the block. Otherwise a task could be recorded that is never run or interrupted."""
        with self.lock:
            if self.is_stopping:
                raise ConfigurationError(SHUTTING_DOWN)
            self.submissions += 1
        try:
            yield
        finally:
            with self.lock:
                self.submissions -= 1
                self.changed.notify_all()

    def abandon(self, recording: Future[tuple[TaskId, Run | None]]) -> None:
        """End the task of a submission that was cancelled while its record was being written."""
        run = None if recording.exception() is not None else recording.result()[1]
        if run is not None:
            run.drop_work()
            self.off_loop(lambda: self.end_unstarted(run, CANCELLED))

    def end_unstarted(self, run: Run, reason: str) -> None:
        run.drop_work()
        self.recorder.end(run, Outcome(INTERRUPTED, error=reason))

    # --- Running ------------------------------------------------------------------------------------------------------

    def start(self, run: Run, find_loop: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        """Start the work in the submitter's context. A function waits for a free thread."""
        context = contextvars.copy_context()
        context.run(running.set, run)
        context.run(keep_session)
        try:
            if find_loop is None:
                self.function_threads.submit(lambda: context.run(self.run_function, run))
                return
            loop = find_loop()
            if loop is self.loop_thread.started:
                loop.call_soon_threadsafe(self.start_coroutine, run, loop, context)
            else:
                self.start_coroutine(run, loop, context)
        except Exception as error:  # no thread, or a loop that has ended in the meantime
            # The task is already recorded as active, and nothing else would ever end it.
            run.drop_work()
            self.recorder.end(run, raised(error, run))

    def start_coroutine(self, run: Run, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        run.asyncio_task = loop.create_task(self.run_coroutine(run), name=f"module-sdk {run.id}", context=context)
        run.asyncio_task.add_done_callback(lambda task: self.coroutine_done(run, task))
        if loop is not self.loop_thread.started:
            if loop not in self.runs_on_host_loops:
                runs = self.runs_on_host_loops[loop] = weakref.WeakSet()
                host_loops.when_closed(loop, self.loop_closed, runs)
            self.runs_on_host_loops[loop].add(run)

    def run_function(self, run: Run) -> None:
        if self.begin(run) and callable(run.work):
            try:
                result = run.work()
                if needs_a_loop(result):
                    self.await_on_loop(run, result)
                    return
                outcome = completed(without_generator(result))
            except BaseException as error:  # any exception that the work raises is its outcome
                run.drop_work()
                outcome = raised(error, run)
            self.recorder.end(run, outcome)

    def await_on_loop(self, run: Run, result: Any) -> None:
        """Await the result of a function on the background loop, so that the thread is free for other work."""
        run.work = as_coroutine(result)
        loop = self.loop_thread.loop()
        loop.call_soon_threadsafe(self.start_coroutine, run, loop, contextvars.copy_context())

    async def run_coroutine(self, run: Run) -> None:
        task = asyncio.current_task()
        interrupt: BaseException | None = None
        try:
            if not run.has_begun and not await run_on(self.threads, lambda: self.begin(run)):
                return
            if run.cancelled.is_set():
                # It was cancelled while a thread passed it to this loop, when there was no asyncio task to cancel.
                raise asyncio.CancelledError
            outcome = completed(await awaited(run.work))
        except BaseException as error:  # any exception that the work raises is its outcome
            if is_a(GeneratorExit, error) and not is_current(task):
                # The loop has ended and Python is closing its remaining coroutines, so nothing more can be awaited.
                raise
            outcome = raised_by_coroutine(error, run, task)
            if is_a(KeyboardInterrupt, error) or is_a(SystemExit, error):
                interrupt = error
        run.is_ending = True
        if interrupt is not None and asyncio.get_running_loop() is not self.loop_thread.started:
            # The interrupt ends the host's loop, as in any asyncio task there, so nothing more can be awaited.
            self.off_loop(lambda: self.recorder.end(run, outcome))
            raise interrupt
        try:
            await run_on(self.threads, lambda: self.recorder.end(run, outcome), cancellable=False)
        except ModuleSDKError:  # no thread can be started: blocking the loop is better than losing the end
            self.recorder.end(run, outcome)

    def off_loop(self, call: Callable[[], object]) -> None:
        """Make the call on a thread of the pool, or on this thread if the pool can start none."""
        try:
            self.threads.submit(call, cancellable=False)
        except ModuleSDKError:  # as in `run_coroutine`
            call()

    def begin(self, run: Run) -> bool:
        """Record that the work begins, and return whether it must run.

        It must not run if it was cancelled in the meantime, or if the store could not record its beginning.
        """
        try:
            # The end of a run that was stopped while it waited is recorded already, and its manager may be closed.
            if not run.cancelled.is_set() and self.recorder.begin(run):
                run.has_begun = True
                return True
            run.drop_work()
            self.forget(run)
        except BaseException as error:  # an injected manager may raise anything
            run.drop_work()
            self.recorder.end(run, raised(error, run))
        return False

    def coroutine_done(self, run: Run, task: asyncio.Task[None]) -> None:
        """Record the end of a coroutine whose loop ended before it could begin or before it could record its end."""
        run.drop_work()
        if not task.cancelled():
            # Retrieve the exception. Otherwise asyncio would log it, though it is logged and recorded already.
            task.exception()
        self.end_lost(run)

    def loop_closed(self, runs: Iterable[Run]) -> None:
        for run in list(runs):
            self.end_lost(run)

    def end_lost(self, run: Run) -> None:
        """Record the end of a coroutine whose loop has ended before it."""
        if run.id in self.runs and not run.is_ending:
            run.is_ending = True
            reason = CANCELLED if run.cancelled.is_set() else LOOP_ENDED
            self.off_loop(lambda: self.recorder.end(run, Outcome(INTERRUPTED, error=reason)))

    def forget(self, run: Run) -> None:
        if inspect.iscoroutine(run.work) and inspect.getcoroutinestate(run.work) == inspect.CORO_CREATED:
            run.drop_work()
        with self.lock:
            self.runs.pop(run.id, None)
            if self.is_stopping:
                self.changed.notify_all()
        run.end()

    # --- Stopping -----------------------------------------------------------------------------------------------------

    def stop(self, task_id: str) -> None:
        """Stop the work of a task that was recorded as cancelled. Do nothing if this process does not run it."""
        run = self.runs.get(task_id)
        if run is not None:
            run.stop()

    def shutdown(self, timeout_seconds: float) -> None:
        """Wait for running work to end, then record the rest as interrupted and stop it.

        A second caller waits for the first. If the second timeout ends earlier, it applies to both.
        """
        while not self.is_shut_down:
            with self.lock:
                self.is_stopping = True
                self.grace_ends = min(self.grace_ends, time.monotonic() + timeout_seconds)
                self.changed.notify_all()
                if self.is_shutting_down:
                    self.changed.wait_for(lambda: not self.is_shutting_down)
                    continue
                self.is_shutting_down = True
            try:
                self.end_all_runs()
            finally:
                with self.lock:
                    self.is_shutting_down = False
                    self.changed.notify_all()

    def end_all_runs(self) -> None:
        with self.lock:
            while (self.runs or self.submissions) and (seconds := self.grace_ends - time.monotonic()) > 0:
                self.changed.wait(min(seconds, threading.TIMEOUT_MAX))
            self.changed.wait_for(lambda: not self.submissions, UNWIND_SECONDS)
            left = list(self.runs.values())
        if left:
            Interrupting(self.manager, left).record()
        for run in left:
            run.stop()
        futures.wait([run.ended for run in left if run.is_async], UNWIND_SECONDS)
        self.recorder.stop()
        self.loop_thread.stop()
        self.function_threads.close()
        self.is_shut_down = True


def is_current(task: asyncio.Task[Any] | None) -> bool:
    """Return whether the calling code runs in this asyncio task, and not because a coroutine is being closed."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False
