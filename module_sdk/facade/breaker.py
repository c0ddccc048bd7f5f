"""The circuit breaker of one manager: lookups stop asking a store that is away (clause FAIL-14)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from module_sdk.store.latch import Latch

OPENS_AFTER: Final = 5
PING_SECONDS: Final = 1.0
logger = logging.getLogger("module_sdk.tasks")


class Breaker:
    """Opens after five unavailable answers in a row, pings every second, and closes when a ping succeeds.

    `ping(timeout_seconds)` raises while the store is away. It holds no lock: a lookup that a signal's handler makes may
    interrupt one that fails.
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
        if self.is_open or self.failed_in_a_row < OPENS_AFTER or self.stopped.is_set:
            return
        if self.pinger is not None and self.pinger.is_alive():
            return
        # Of two that start at once the one that is not `self.pinger` ends at once.
        self.pinger = threading.Thread(target=self.ping_until_back, name="module-sdk-breaker", daemon=True)
        # Before it starts: nothing may open the breaker after the thread has closed it.
        self.is_open = True
        try:
            self.pinger.start()
        except RuntimeError:  # no thread can be started: nobody would ping, so lookups go on asking themselves
            self.is_open = False
            return
        logger.warning("the store has failed %d times in a row: lookups wait until it answers a ping", OPENS_AFTER)

    def ping_until_back(self) -> None:
        if self.pinger is not threading.current_thread():
            return
        self.is_open = True
        # From start to start: a ping that hangs for its whole second is followed by the next at once, so that a store
        # that comes back is noticed within 1.5 s.
        next_ping = time.monotonic() + PING_SECONDS
        while not self.stopped.wait(max(0.0, next_ping - time.monotonic())):
            next_ping = time.monotonic() + PING_SECONDS
            try:
                self.ping(PING_SECONDS)
            except BaseException as error:  # on this thread an interrupt has nobody to reach, and pinging must go on
                if isinstance(error, Exception):
                    self.last_failure = error
                continue
            self.close()
            logger.warning("the store answers again")
            return

    def refuse(self) -> None:
        """While the breaker is open, raise the last failure."""
        if self.pinger is None or not self.pinger.is_alive():  # an interrupt came before it could start
            self.is_open = False
        elif self.last_failure is not None:
            # Raised again and again: without this its traceback would grow each time.
            raise self.last_failure.with_traceback(None)

    def close(self) -> None:
        # In this order: what fails from now on may need another thread that pings.
        self.pinger = None
        self.failed_in_a_row = 0
        self.is_open = False

    def stop(self) -> None:
        """End the pinging, for good."""
        self.stopped.set()
