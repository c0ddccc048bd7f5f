"""Recording that work begins and how it ended, through outages of the store."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final

import tenacity

from module_sdk.errors import (
    IllegalTransitionError,
    PayloadError,
    SchemaMissingError,
    TaskBackendError,
    TaskBackendUnavailableError,
)
from module_sdk.manager import TaskManager
from module_sdk.runner.outcome import Outcome, error_text
from module_sdk.runner.run import Run
from module_sdk.sentinels import ANY
from module_sdk.statuses import FAILED, RUNNING, WAITING_CONFIRMATION
from module_sdk.writes import update_task

BEGIN_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 5.0
# A store that was emptied may be restored, and then the task has to hear how its work ended (SEE-10).
MENDABLE: Final = (TaskBackendError, SchemaMissingError)
logger = logging.getLogger("module_sdk.tasks")


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
        """Record the end. Never raises: what the store cannot take now is retried on a thread, the rest is logged."""
        run.is_ending = True
        try:
            self.record(run, outcome)
        except Exception as error:  # a manager that is not ours may raise anything
            if self.stopped.is_set():
                # The shutdown has recorded it, or said that it could not; the manager may be closed by now.
                self.ended(run)
            elif isinstance(error, MENDABLE):
                logger.warning("the end of task %s waits for the store: %s", run.id, error)
                self.retry_later(run, outcome)
            else:
                self.give_up(run, error)
        else:
            self.ended(run)

    def record(self, run: Run, outcome: Outcome) -> None:
        try:
            row = update_task(self.manager, run.id, ANY, **outcome.fields())
        except IllegalTransitionError as error:
            if error.status == WAITING_CONFIRMATION:
                self.withdraw_question(run)
                self.record(run, outcome)
                return
            # Somebody else ended it first, or the reply to our own earlier attempt was lost.
            logger.debug("task %s has ended as %s already", run.id, error.status)
        except PayloadError as error:
            self.record(run, Outcome(FAILED, error=error_text(error)))
        except TaskBackendUnavailableError:
            raise
        except TaskBackendError as error:
            # It may be the result that the store cannot take: its disk is nearly full, or its packets are smaller.
            if outcome.result is None or self.stopped.is_set():
                raise
            logger.warning("the store refused the result of task %s: %s", run.id, error)
            self.record(run, Outcome(FAILED, error=error_text(error)))
        else:
            if row is None:
                logger.warning("task %s is gone from the store", run.id)

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
            except RuntimeError:  # no thread can be started just now: the next late end tries again
                logger.exception("the end of task %s cannot be retried yet", run.id)
            else:
                self.is_retrying = True

    def retry(self) -> None:
        while True:
            try:
                self.retrying(MENDABLE, None)(self.record_late_ends)
            except MENDABLE:
                # After `stop` only: the shutdown has recorded them, or said that it could not.
                while not self.late_ends.empty():
                    self.ended(self.late_ends.get()[0])
            with self.lock:
                if self.late_ends.empty():
                    self.is_retrying = False
                    return

    def record_late_ends(self) -> None:
        """Try each once: one that the store refuses holds up no other. Raises the last failure."""
        failure: Exception | None = None
        for _ in range(self.late_ends.qsize()):
            run, outcome = self.late_ends.get()
            try:
                self.record(run, outcome)
            except MENDABLE as error:
                self.late_ends.put((run, outcome))
                failure = error
                if isinstance(error, TaskBackendUnavailableError | SchemaMissingError):
                    break
            except Exception as error:  # as in `end`
                self.give_up(run, error)
            else:
                self.ended(run)
        if failure is not None:
            raise failure

    def give_up(self, run: Run, error: Exception) -> None:
        logger.error("the end of task %s could not be recorded", run.id, exc_info=error)
        self.ended(run)

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
