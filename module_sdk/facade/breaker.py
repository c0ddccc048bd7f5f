"""The circuit breaker of one manager: while the store is away, lookups fail without calling it (clause FAIL-14)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from module_sdk.store.latch import Latch

FAILURES_TO_OPEN: Final = 5
PING_SECONDS: Final = 1.0
logger = logging.getLogger("module_sdk.tasks")


class Breaker:
    """A breaker that opens after five consecutive failures, pings every second, and closes when a ping succeeds.

    `ping(timeout_seconds)` must raise while the store is away. The breaker uses no lock, because a lookup made by a
    signal handler may interrupt a lookup that is recording its failure.
    """

    def __init__(self, ping: Callable[[float], None]) -> None:
        self.ping = ping
        self.stopped = Latch()
        self.failed_in_a_row = 0
        self.last_failure: Exception | None = None
        self.is_open = False
        self.pinger: threading.Thread | None = None

    def succeeded(self) -> None:
        self.failed_in_a_row = 0

    def failed(self, error: Exception) -> None:
        self.failed_in_a_row += 1
        self.last_failure = error
        if self.is_open or self.failed_in_a_row < FAILURES_TO_OPEN or self.stopped.is_set:
            return
        if self.pinger is not None and self.pinger.is_alive():
            return
        # If two threads are started at the same time, the one that is not `self.pinger` returns at once.
        self.pinger = threading.Thread(target=self.ping_until_back, name="module-sdk-breaker", daemon=True)
        # Set before the thread starts, so that nothing can open the breaker after the thread has closed it.
        self.is_open = True
        try:
            self.pinger.start()
        except RuntimeError:  # no thread can be started, so nothing would ping: lookups keep calling the store
            self.is_open = False
            return
        logger.warning(
            "the store has failed %d times in a row: lookups fail at once until it answers a ping", FAILURES_TO_OPEN
        )

    def ping_until_back(self) -> None:
        if self.pinger is not threading.current_thread():
            return
        self.is_open = True
        # The period runs from the start of one ping to the start of the next. A ping that hangs for its whole second
        # is followed by the next immediately, so that a store that comes back is noticed within 1.5 s.
        next_ping = time.monotonic() + PING_SECONDS
        while not self.stopped.wait(max(0.0, next_ping - time.monotonic())):
            next_ping = time.monotonic() + PING_SECONDS
            try:
                self.ping(PING_SECONDS)
            except BaseException as error:  # an interrupt has no caller to reach on this thread; pinging must continue
                if isinstance(error, Exception):
                    self.last_failure = error
                continue
            self.close()
            logger.warning("the store answers again")
            return

    def refuse(self) -> None:
        """Raise the last failure while the breaker is open."""
        if self.pinger is None or not self.pinger.is_alive():  # an interrupt arrived before the thread had started
            self.is_open = False
        elif self.last_failure is not None:
            # The same exception is raised many times: without this, each time would lengthen its traceback.
            raise self.last_failure.with_traceback(None)

    def close(self) -> None:
        # Reset the thread first, because a lookup that fails from now on may have to start another one.
        self.pinger = None
        self.failed_in_a_row = 0
        self.is_open = False

    def stop(self) -> None:
        """Stop pinging for good. The breaker can no longer open."""
        self.stopped.set()
