"""Recording that work begins and how it ended, through outages of the store."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final

import tenacity

from module_sdk.errors import IllegalTransitionError, PayloadError, TaskBackendUnavailableError
from module_sdk.manager import TaskManager
from module_sdk.runner.outcome import Outcome, error_text
from module_sdk.runner.run import Run
from module_sdk.sentinels import ANY
from module_sdk.statuses import FAILED, RUNNING, WAITING_CONFIRMATION
from module_sdk.writes import update_task

BEGIN_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 5.0
logger = logging.getLogger("module_sdk.tasks")


class Recorder:
    """Writes beginnings and ends. An end that the store cannot take now is retried, with backoff, until it can."""

    def __init__(self, manager: TaskManager, ended: Callable[[Run], None]) -> None:
        self.manager = manager
        self.ended = ended
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.late_ends: queue.SimpleQueue[tuple[Run, Outcome]] = queue.SimpleQueue()
        self.retrying = False

    def begin(self, run: Run) -> bool:
        """Move the task to running; false if it was ended (or pruned) before it began. Raises what the store raises."""
        try:
            return self.retrying_for(BEGIN_SECONDS)(update_task, self.manager, run.id, ANY, status=RUNNING) is not None
        except IllegalTransitionError as error:
            # Nobody else begins it: it runs because the reply to an earlier attempt was lost.
            return error.status == RUNNING

    def end(self, run: Run, outcome: Outcome) -> None:
        """Record the end. Never raises: what the store cannot take now is retried on a thread, the rest is logged."""
        run.is_ending = True
        try:
            self.record(run, outcome)
        except TaskBackendUnavailableError as error:
            logger.warning("the end of task %s waits for the store: %s", run.id, error)
            self.retry_later(run, outcome)
        except Exception:  # a manager that is not ours may raise anything
            # After `stop` the task is recorded as interrupted, and its manager may be closed: that is no trouble.
            if not self.stopped.is_set():
                logger.exception("the end of task %s could not be recorded", run.id)
            self.ended(run)
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
            if not self.retrying:
                self.retrying = True
                threading.Thread(target=self.retry, name="module-sdk-late-ends", daemon=True).start()

    def retry(self) -> None:
        while True:
            try:
                run, outcome = self.late_ends.get_nowait()
            except queue.Empty:
                with self.lock:
                    if not self.late_ends.empty():
                        continue
                    self.retrying = False
                    return
            try:
                self.retrying_for(None)(self.record, run, outcome)
            except Exception:  # as in `end`
                logger.exception("the end of task %s could not be recorded", run.id)
            self.ended(run)

    def retrying_for(self, seconds: float | None) -> Callable[..., Any]:
        """Calls through while the store is away: for so many seconds, or until `stop`."""
        stop = tenacity.stop_when_event_set(self.stopped)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TaskBackendUnavailableError),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS),
            stop=stop if seconds is None else stop | tenacity.stop_after_delay(seconds),
            sleep=tenacity.sleep_using_event(self.stopped),
            reraise=True,
        )

    def stop(self) -> None:
        """Retry no longer: the process ends."""
        self.stopped.set()
