"""Recording runs as interrupted when their process or their configuration ends."""

from __future__ import annotations

import collections
import logging
import math
import threading
import time
from collections.abc import Iterable
from concurrent import futures
from typing import Any, Final

from module_sdk.domain.reports import error_text, report
from module_sdk.domain.sentinels import ANY
from module_sdk.domain.statuses import INTERRUPTED
from module_sdk.errors import IllegalTransitionError, TaskBackendUnavailableError
from module_sdk.facade.announced_writes import has_listeners, update_task
from module_sdk.facade.thread_pool import ThreadPool
from module_sdk.runner.outcome import SHUTDOWN
from module_sdk.runner.run import Run
from module_sdk.store.manager import TaskManager

# Together with the five seconds for running work, this is less than the ten after which `docker stop` kills.
RECORD_SECONDS: Final = 3.0
# One writer needed 27 s for 10,000 tasks. More than 8 writers wait for each other's locks on MariaDB.
WRITERS: Final = 8
BATCH: Final = 100
MAXIMUM_IDS_IN_LOG: Final = 10


class Interrupting:
    """Records runs as interrupted, in batches, until all are recorded or the deadline has passed."""

    def __init__(self, manager: TaskManager, runs: Iterable[Run]) -> None:
        self.manager = manager
        self.left = collections.deque(runs)
        self.deadline = time.monotonic() + RECORD_SECONDS
        self.lock = threading.Lock()
        self.unrecorded: dict[str, Run] = {run.id: run for run in self.left}
        self.store_is_away = False

    def record(self) -> None:
        """Record the runs and log those that could not be recorded. Return soon after the deadline in any case."""
        writers = min(WRITERS, math.ceil(len(self.left) / BATCH))
        threads = ThreadPool(WRITERS)
        try:
            working = [threads.submit(self.write) for _ in range(writers)]
            futures.wait(working, max(0.0, self.seconds_left()))
        except TaskBackendUnavailableError:  # no thread can be started
            self.write()
        threads.close()
        with self.lock:
            self.store_is_away = True
            unrecorded = list(self.unrecorded)
        if unrecorded:
            ids = ", ".join(unrecorded[:MAXIMUM_IDS_IN_LOG])
            message = "%d tasks could not be recorded as interrupted and stay active: %s"
            report(logging.ERROR, message, len(unrecorded), ids)

    def write(self) -> None:
        while not self.store_is_away:
            with self.lock:
                batch = [self.left.popleft() for _ in range(min(BATCH, len(self.left)))]
            if not batch or self.seconds_left() <= 0:
                return
            if len(batch) == 1 or not self.write_batch(batch):
                for run in batch:
                    if self.store_is_away or self.seconds_left() <= 0:
                        return
                    self.write_one(run, self.seconds_left())

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def write_batch(self, batch: list[Run]) -> bool:
        """Record a batch in one call, and return whether that recorded all of it."""
        if not isinstance(self.manager, TaskManager) or has_listeners():
            return False
        try:
            changed = self.manager.interrupt_all(
                [run.id for run in batch], SHUTDOWN, timeout_seconds=self.seconds_left()
            )
        except Exception as error:  # the caller then writes one by one, so that a bad record does not block the others
            self.store_is_away = self.store_is_away or isinstance(error, TaskBackendUnavailableError)
            message = "%d tasks could not be recorded as interrupted in one call: %s"
            report(logging.WARNING, message, len(batch), error_text(error))
            return False
        if changed < len(batch):  # some have ended by themselves
            return False
        for run in batch:
            self.recorded(run)
        return True

    def write_one(self, run: Run, seconds: float) -> None:
        options: dict[str, Any] = {"timeout_seconds": seconds} if isinstance(self.manager, TaskManager) else {}
        try:
            update_task(self.manager, run.id, ANY, status=INTERRUPTED, error=SHUTDOWN, **options)
        except IllegalTransitionError:
            pass  # it ended by itself at the last moment
        except Exception as error:  # an injected manager may raise anything
            # Wait only once for a store that is away, because the process is ending.
            self.store_is_away = self.store_is_away or isinstance(error, TaskBackendUnavailableError)
            report(logging.WARNING, "task %s could not be recorded as interrupted", run.id, error=error)
            return
        self.recorded(run)

    def recorded(self, run: Run) -> None:
        with self.lock:
            self.unrecorded.pop(run.id, None)
        run.is_recorded = True
        run.stop()
