"""Connecting to a server on a thread, so that nobody waits for it longer than the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from module_sdk.backends import TaskBackendUnavailableError
from module_sdk_sql.dialects.base import Link


class Connector:
    """At most one attempt is under way; a caller who comes while one hangs waits for that one."""

    def __init__(self, connect: Callable[[float], Link]) -> None:
        self.connect_now = connect
        self.turn = threading.Lock()
        self.attempt: Attempt | None = None

    def connect(self, deadline: float) -> Link:
        """A new connection. Raises what connecting raised, or `TaskBackendUnavailableError` when late."""
        if not self.turn.acquire(timeout=remaining(deadline)):
            raise TaskBackendUnavailableError("others wait for a connection too: no answer in time")
        try:
            attempt = self.attempt
            if attempt is None or attempt.is_useless():
                attempt = self.attempt = Attempt()
                arguments = (self.connect_now, deadline)
                threading.Thread(target=attempt.run, args=arguments, name="module-sdk-connect", daemon=True).start()
            if not attempt.done.wait(remaining(deadline)):
                raise TaskBackendUnavailableError("the server did not accept a connection in time")
            self.attempt = None
        finally:
            self.turn.release()
        if attempt.link is None:
            assert attempt.error is not None  # noqa: S101  # an attempt that is done has one or the other
            raise attempt.error
        return attempt.link


class Attempt:
    """One run of connecting; whoever started it may be gone when it ends."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.link: Link | None = None
        self.error: Exception | None = None

    def run(self, connect: Callable[[float], Link], deadline: float) -> None:
        try:
            self.link = connect(deadline)
        except Exception as error:  # raised by whoever waits
            self.error = error
        self.done.set()

    def is_useless(self) -> bool:
        """Whether it ended before anybody asked, in a failure or with a connection that has been lost since."""
        if not self.done.is_set():
            return False
        if self.link is not None and not self.link.is_current():
            self.link.close()
            self.link = None
        return self.link is None


def remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
