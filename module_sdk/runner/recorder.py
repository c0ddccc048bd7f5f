"""Recording that work begins and how it ended, through outages of the store."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final

import tenacity

from module_sdk.domain.reports import error_text, is_a, report
from module_sdk.domain.sentinels import ANY
from module_sdk.domain.statuses import FAILED, RUNNING, WAITING_CONFIRMATION
from module_sdk.errors import (
    IllegalTransitionError,
    ModuleSDKError,
    PayloadError,
    SchemaMissingError,
    TaskBackendError,
    TaskBackendUnavailableError,
)
from module_sdk.facade.announced_writes import update_task
from module_sdk.runner.outcome import UNASKED, Outcome
from module_sdk.runner.run import Run
from module_sdk.store.manager import TaskManager

BEGIN_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 5.0
# A store that was emptied may be restored, and then the task has to hear how its work ended (SEE-10).
MENDABLE: Final = (TaskBackendError, SchemaMissingError)


class Recorder:
    """Writes beginnings and ends. An end that the store cannot take now is retried, with backoff, until it can."""

    def __init__(self, manager: TaskManager, ended: Callable[[Run], None]) -> None:
        self.manager = manager
        self.ended = ended
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.late_ends: queue.SimpleQueue[tuple[Run, Outcome]] = queue.SimpleQueue()
        self.is_retrying = False

    def begin(self, run: Run) -> bool:
        """Move the task to running; false if it was ended (or pruned) before it began. Raises what the store raises."""
        try:
            move = self.retrying(TaskBackendUnavailableError, BEGIN_SECONDS)
            return move(update_task, self.manager, run.id, ANY, status=RUNNING) is not None
        except IllegalTransitionError as error:
            # Nobody else begins it: it runs because the reply to an earlier attempt was lost.
            return error.status == RUNNING

    def end(self, run: Run, outcome: Outcome) -> None:
        """Record the end, then log it. Never raises: what the store cannot take now is retried on a thread."""
        run.is_ending = True
        # After `stop` the shutdown has recorded it, or said that it could not; the manager may be closed by now.
        problem = None if run.is_recorded else self.attempt(run, outcome)
        if outcome.cause is not None:
            report(logging.ERROR, "task %s failed", run.id, error=outcome.cause)
        elif outcome.error in UNASKED:
            report(logging.WARNING, "task %s was %s", run.id, outcome.error)
        if problem is not None and not self.stopped.is_set() and is_a(MENDABLE, problem):
            report(logging.WARNING, "the end of task %s waits for the store: %s", run.id, error_text(problem))
            self.retry_later(run, outcome._replace(cause=None))
        else:
            self.conclude(run, None if self.stopped.is_set() else problem)

    def attempt(self, run: Run, outcome: Outcome) -> BaseException | None:
        """Record it once; what kept the store from it, if anything did."""
        try:
            self.record(run, outcome)
        except BaseException as error:  # of a manager that is not ours, or of the result's own code as it is written
            if outcome.result is not None and not is_a(ModuleSDKError, error):
                problem = self.attempt(run, Outcome(FAILED, error=error_text(error)))
                report(logging.ERROR, "the result of task %s cannot be stored", run.id, error=error)
                return problem
            # What is no `Exception` interrupts a call, and says nothing of the next one.
            return error if is_a(Exception, error) else TaskBackendError(f"interrupted by {error_text(error)}")
        return None

    def record(self, run: Run, outcome: Outcome) -> None:
        try:
            row = update_task(self.manager, run.id, ANY, **outcome.fields())
        except IllegalTransitionError as error:
            if error.status == WAITING_CONFIRMATION:
                self.withdraw_question(run)
                self.record(run, outcome)
                return
            # Somebody else ended it first, or the reply to our own earlier attempt was lost.
            report(logging.DEBUG, "task %s has ended as %s already", run.id, error.status)
        except PayloadError as error:
            self.record(run, Outcome(FAILED, error=error_text(error)))
        except TaskBackendUnavailableError:
            raise
        except TaskBackendError as error:
            # It may be the result that the store cannot take: its disk is nearly full, or its packets are smaller.
            if outcome.result is None or self.stopped.is_set():
                raise
            self.record(run, Outcome(FAILED, error=error_text(error)))
            report(logging.WARNING, "the store refused the result of task %s: %s", run.id, error_text(error))
        else:
            if row is None:
                report(logging.WARNING, "task %s is gone from the store", run.id)

    def withdraw_question(self, run: Run) -> None:
        """For work that went on without the response it had asked for: only a running task can complete."""
        with contextlib.suppress(IllegalTransitionError):
            update_task(self.manager, run.id, ANY, status=RUNNING)

    def retry_later(self, run: Run, outcome: Outcome) -> None:
        self.late_ends.put((run, outcome))
        with self.lock:
            if self.is_retrying:
                return
            try:
                threading.Thread(target=self.retry, name="module-sdk-late-ends", daemon=True).start()
            except RuntimeError as error:  # no thread can be started just now: the next late end tries again
                report(logging.ERROR, "the end of task %s cannot be retried yet", run.id, error=error)
            else:
                self.is_retrying = True

    def retry(self) -> None:
        while True:
            try:
                self.retrying(MENDABLE, None)(self.record_late_ends)
            except MENDABLE:
                # After `stop` only: the shutdown has recorded them, or said that it could not.
                while not self.late_ends.empty():
                    self.conclude(self.late_ends.get()[0], None)
            with self.lock:
                if self.late_ends.empty():
                    self.is_retrying = False
                    return

    def record_late_ends(self) -> None:
        """Try each once: one that the store refuses holds up no other. Raises the last failure."""
        failure: Exception | None = None
        for _ in range(self.late_ends.qsize()):
            run, outcome = self.late_ends.get()
            problem = self.attempt(run, outcome)
            if not isinstance(problem, MENDABLE):
                self.conclude(run, problem)
                continue
            self.late_ends.put((run, outcome))
            failure = problem
            if isinstance(problem, TaskBackendUnavailableError | SchemaMissingError):
                break
        if failure is not None:
            raise failure

    def conclude(self, run: Run, problem: BaseException | None) -> None:
        """Nothing more will be tried."""
        if problem is not None:
            report(logging.ERROR, "the end of task %s could not be recorded", run.id, error=problem)
        try:
            self.ended(run)
        except BaseException as error:  # what waits for the end may be code of the host
            report(logging.ERROR, "the end of task %s could not be announced", run.id, error=error)

    def retrying(
        self, kind: type[Exception] | tuple[type[Exception], ...], seconds: float | None
    ) -> Callable[..., Any]:
        """Calls again after an error of this kind, with backoff: for so many seconds, or until `stop`."""
        stop = tenacity.stop_when_event_set(self.stopped)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(kind),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS),
            stop=stop if seconds is None else stop | tenacity.stop_after_delay(seconds),
            sleep=tenacity.sleep_using_event(self.stopped),
            reraise=True,
        )

    def stop(self) -> None:
        """Retry no longer: the process ends."""
        self.stopped.set()
