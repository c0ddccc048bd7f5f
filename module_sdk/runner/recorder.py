"""Recording the beginnings and ends of tasks, in spite of outages of the store."""

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
from module_sdk.runner.outcome import UNREQUESTED, Outcome
from module_sdk.runner.run import Run
from module_sdk.store.manager import TaskManager

BEGIN_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 5.0
# A store that was emptied may be restored, and then the end of the task must be recorded there (SEE-10).
RETRIED_ERRORS: Final = (TaskBackendError, SchemaMissingError)


class Recorder:
    """Writes beginnings and ends. An end that the store cannot record now is retried, with backoff, until it can."""

    def __init__(self, manager: TaskManager, ended: Callable[[Run], None]) -> None:
        self.manager = manager
        self.ended = ended
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.late_ends: queue.SimpleQueue[tuple[Run, Outcome]] = queue.SimpleQueue()
        self.is_retrying = False

    def begin(self, run: Run) -> bool:
        """Move the task to running. Return false if it had ended or was pruned. Raise the errors of the store."""
        try:
            move = self.retrying(TaskBackendUnavailableError, BEGIN_SECONDS)
            return move(update_task, self.manager, run.id, ANY, status=RUNNING) is not None
        except IllegalTransitionError as error:
            # No other process begins this task. If it is running, the reply to an earlier attempt was lost.
            return error.status == RUNNING

    def end(self, run: Run, outcome: Outcome) -> None:
        """Record the end, then log it. Never raise: an end that the store cannot record now is retried on a thread."""
        run.is_ending = True
        # After `stop`, the shutdown has recorded the end or logged that it could not. The manager may be closed by now.
        failure = None if run.is_recorded else self.attempt(run, outcome)
        if outcome.cause is not None:
            report(logging.ERROR, "task %s failed", run.id, error=outcome.cause)
        elif outcome.error in UNREQUESTED:
            report(logging.WARNING, "task %s was %s", run.id, outcome.error)
        if failure is not None and not self.stopped.is_set() and is_a(RETRIED_ERRORS, failure):
            report(logging.WARNING, "the end of task %s waits for the store: %s", run.id, error_text(failure))
            self.retry_later(run, outcome._replace(cause=None))
        else:
            self.conclude(run, None if self.stopped.is_set() else failure)

    def attempt(self, run: Run, outcome: Outcome) -> BaseException | None:
        """Try once to record the end. Return `None`, or the exception if it could not be recorded."""
        try:
            self.record(run, outcome)
        except BaseException as error:  # from an injected manager, or from the result's own code while it is encoded
            if outcome.result is not None and not is_a(ModuleSDKError, error):
                failure = self.attempt(run, Outcome(FAILED, error=error_text(error)))
                report(logging.ERROR, "the result of task %s cannot be stored", run.id, error=error)
                return failure
            # An error that is not an `Exception` only interrupted this call, so the next one may succeed.
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
            # Another caller ended the task first, or the reply to our own earlier attempt was lost.
            report(logging.DEBUG, "task %s has ended as %s already", run.id, error.status)
        except PayloadError as error:
            self.record(run, Outcome(FAILED, error=error_text(error)))
        except TaskBackendUnavailableError:
            raise
        except TaskBackendError as error:
            # The result may be too large for the store: its disk may be nearly full, or its packets limited.
            if outcome.result is None or self.stopped.is_set():
                raise
            self.record(run, Outcome(FAILED, error=error_text(error)))
            report(logging.WARNING, "the store refused the result of task %s: %s", run.id, error_text(error))
        else:
            if row is None:
                report(logging.WARNING, "task %s is gone from the store", run.id)

    def withdraw_question(self, run: Run) -> None:
        """Move the task back to running if its work did not wait for the response: only a running task can complete."""
        with contextlib.suppress(IllegalTransitionError):
            update_task(self.manager, run.id, ANY, status=RUNNING)

    def retry_later(self, run: Run, outcome: Outcome) -> None:
        self.late_ends.put((run, outcome))
        with self.lock:
            if self.is_retrying:
                return
            try:
                threading.Thread(target=self.retry, name="module-sdk-late-ends", daemon=True).start()
            except RuntimeError as error:  # no thread can be started now, so the next late end tries again
                report(logging.ERROR, "the end of task %s cannot be retried yet", run.id, error=error)
            else:
                self.is_retrying = True

    def retry(self) -> None:
        while True:
            try:
                self.retrying(RETRIED_ERRORS, None)(self.record_late_ends)
            except RETRIED_ERRORS:
                # Only after `stop`: the shutdown has recorded the ends or logged that it could not.
                while not self.late_ends.empty():
                    self.conclude(self.late_ends.get()[0], None)
            with self.lock:
                if self.late_ends.empty():
                    self.is_retrying = False
                    return

    def record_late_ends(self) -> None:
        """Try each end once, so that one that the store refuses does not block the others. Raise the last failure."""
        last_failure: Exception | None = None
        for _ in range(self.late_ends.qsize()):
            run, outcome = self.late_ends.get()
            failure = self.attempt(run, outcome)
            if not isinstance(failure, RETRIED_ERRORS):
                self.conclude(run, failure)
                continue
            self.late_ends.put((run, outcome))
            last_failure = failure
            if isinstance(failure, TaskBackendUnavailableError | SchemaMissingError):
                break
        if last_failure is not None:
            raise last_failure

    def conclude(self, run: Run, failure: BaseException | None) -> None:
        """End the run without another attempt. Log the failure, if there is one."""
        if failure is not None:
            report(logging.ERROR, "the end of task %s could not be recorded", run.id, error=failure)
        try:
            self.ended(run)
        except BaseException as error:  # callbacks that wait for the end may be host code
            report(logging.ERROR, "the end of task %s could not be announced", run.id, error=error)

    def retrying(
        self, kind: type[Exception] | tuple[type[Exception], ...], seconds: float | None
    ) -> Callable[..., Any]:
        """Return a caller that retries after an error of this kind, with backoff, until `seconds` or until `stop`."""
        stop = tenacity.stop_when_event_set(self.stopped)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(kind),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS),
            stop=stop if seconds is None else stop | tenacity.stop_after_delay(seconds),
            sleep=tenacity.sleep_using_event(self.stopped),
            reraise=True,
        )

    def stop(self) -> None:
        """End all retries, because the process ends."""
        self.stopped.set()
