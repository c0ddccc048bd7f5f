"""The circuit breaker of one manager: lookups stop asking a store that is away (clause FAIL-14)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

OPENS_AFTER: Final = 5
PING_SECONDS: Final = 1.0
logger = logging.getLogger("module_sdk.tasks")


class Breaker:
    """Opens after five unavailable answers in a row, pings every second, and closes when a ping succeeds.

    `ping(timeout_seconds)` raises while the store is away.
    """

    def __init__(self, ping: Callable[[float], None]) -> None:
        self.ping = ping
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.failed_in_a_row = 0
        self.last_failure: Exception | None = None
        self.is_open = False

    def succeeded(self) -> None:
        with self.lock:
            self.failed_in_a_row = 0

    def failed(self, error: Exception) -> None:
        with self.lock:
            self.failed_in_a_row += 1
            self.last_failure = error
            if self.is_open or self.failed_in_a_row < OPENS_AFTER or self.stopped.is_set():
                return
            try:
                threading.Thread(target=self.ping_until_back, name="module-sdk-breaker", daemon=True).start()
            except RuntimeError:  # no thread can be started: nobody would ping, so lookups go on asking themselves
                return
            self.is_open = True
        logger.warning("the store has failed %d times in a row: lookups wait until it answers a ping", OPENS_AFTER)

    def ping_until_back(self) -> None:
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

    def close(self) -> None:
        with self.lock:
            self.is_open = False
            self.failed_in_a_row = 0

    def stop(self) -> None:
        """End the pinging, for good."""
        self.stopped.set()
