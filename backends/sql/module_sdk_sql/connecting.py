"""Connecting to a server on a thread, so that nobody waits for it longer than the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from module_sdk.backends import TaskBackendUnavailableError
from module_sdk_sql.dialects.base import Link

# Resolving a name heeds no deadline, nor does libpq below two seconds: so many threads at most may hang there.
MOST_OVERDUE: Final = 4


class Connector:
    """One caller at a time connects. Who comes while an attempt hangs waits for it, until its own deadline has passed.

    Then nothing can come of it, even if the server is back by now, so another is begun; and what fails for the caller
    who has left is tried again for the one who waits.
    """

    def __init__(self, connect: Callable[[float], Link]) -> None:
        self.connect_now = connect
        self.turn = threading.Lock()
        self.attempt: Attempt | None = None
        self.overdue: list[Attempt] = []
        self.last_error: Exception | None = None

    def connect(self, deadline: float) -> Link:
        """A new connection. Raises what connecting raised, or `TaskBackendUnavailableError` when late."""
        if not self.turn.acquire(timeout=remaining(deadline)):
            raise TaskBackendUnavailableError("others wait for a connection too: no answer in time")
        try:
            own: Attempt | None = None
            while True:
                if self.attempt is None:
                    own = self.attempt = self.begin(deadline)
                attempt = self.attempt
                if attempt.done.wait(remaining(min(deadline, attempt.deadline))):
                    self.attempt = None
                    link = attempt.take()
                    if link is not None:
                        return link
                    if attempt is own:
                        raise attempt.error or TaskBackendUnavailableError("the connection was lost at once")
                elif not remaining(deadline):
                    self.forget_ended()
                    raise TaskBackendUnavailableError(
                        "the server did not accept a connection in time"
                    ) from self.last_error
                else:
                    self.leave(attempt, deadline)
        finally:
            self.turn.release()

    def begin(self, deadline: float) -> Attempt:
        attempt = Attempt(deadline)
        arguments = (self.connect_now,)
        threading.Thread(target=attempt.run, args=arguments, name="module-sdk-connect", daemon=True).start()
        return attempt

    def leave(self, attempt: Attempt, deadline: float) -> None:
        """Give up an attempt that is overdue; while too many hang, wait for it instead."""
        self.forget_ended()
        if len(self.overdue) < MOST_OVERDUE:
            self.overdue.append(attempt)
            self.attempt = None
        else:
            attempt.done.wait(remaining(deadline))

    def forget_ended(self) -> None:
        """Of attempts that were overdue, what the driver said stays, as the cause of a later failure in time."""
        for one in [one for one in self.overdue if one.done.is_set()]:
            self.overdue.remove(one)
            self.last_error = one.error or self.last_error
            one.close()


class Attempt:
    """One run of connecting, for a caller who may be gone when it ends."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.done = threading.Event()
        self.link: Link | None = None
        self.error: Exception | None = None

    def run(self, connect: Callable[[float], Link]) -> None:
        try:
            self.link = connect(self.deadline)
        except Exception as error:  # raised by whoever waits
            self.error = error
        self.done.set()

    def take(self) -> Link | None:
        """The connection, once it is done; `None` if there is none, or if it has been lost since."""
        if self.link is not None and self.link.is_current():
            return self.link
        self.close()
        return None

    def close(self) -> None:
        """Give up the connection, if it is done and has one."""
        if self.done.is_set() and self.link is not None:
            self.link.close()
            self.link = None


def remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
