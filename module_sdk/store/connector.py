"""Connecting to a server on a thread, so that nobody waits for it longer than the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic

from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.store.connection_pool import AnyConnection
from module_sdk.store.latch import Latch
from module_sdk.store.slots import SlotPool

# Resolving a name heeds no deadline, nor does libpq below two seconds: so many threads at most may hang there.
MAXIMUM_OVERDUE: Final = 4


class Connector(Generic[AnyConnection]):
    """One caller at a time connects. Who comes while an attempt hangs waits for it, until its own deadline has passed.

    Then nothing can come of it, even if the server is back by now, so another is begun; and what fails for the caller
    who has left is tried again for the one who waits.
    """

    def __init__(self, connect: Callable[[float], AnyConnection]) -> None:
        self.connect_now = connect
        self.turn: SlotPool[None] = SlotPool(1)
        self.attempt: Attempt[AnyConnection] | None = None
        self.overdue: list[Attempt[AnyConnection]] = []
        self.last_error: Exception | None = None

    def connect(self, deadline: float) -> AnyConnection:
        """A new connection. Raises what connecting raised, or `TaskBackendUnavailableError` when late."""
        place = self.turn.take(deadline)
        if place is None:
            raise TaskBackendUnavailableError("others wait for a connection too: no answer in time")
        try:
            own: Attempt[AnyConnection] | None = None
            while True:
                attempt = self.attempt
                if attempt is None or not attempt.has_begun():
                    # Known before it begins: an interrupt must not leave a connection that nobody knows of.
                    attempt = own = self.attempt = Attempt(deadline)
                    attempt.begin(self.connect_now)
                if attempt.done.wait(remaining(min(deadline, attempt.deadline))):
                    connection = attempt.take()
                    self.attempt = None
                    if connection is not None:
                        return connection
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
            place.back(place)
            self.turn.given()
            del place

    def leave(self, attempt: Attempt[AnyConnection], deadline: float) -> None:
        """Give up an attempt that is overdue; while too many hang, wait for it instead."""
        self.forget_ended()
        if len(self.overdue) < MAXIMUM_OVERDUE:
            self.overdue.append(attempt)
            self.attempt = None
        else:
            attempt.done.wait(remaining(deadline))

    def forget_ended(self) -> None:
        """Of attempts that were overdue, what the driver said stays, as the cause of a later failure in time."""
        for one in [one for one in self.overdue if one.done.is_set]:
            self.overdue.remove(one)
            self.last_error = one.error or self.last_error
            one.close()


class Attempt(Generic[AnyConnection]):
    """One run of connecting, for a caller who may be gone when it ends."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.done = Latch()
        self.thread: threading.Thread | None = None
        self.connection: AnyConnection | None = None
        self.error: Exception | None = None

    def begin(self, connect: Callable[[float], AnyConnection]) -> None:
        self.thread = threading.Thread(target=self.run, args=(connect,), name="module-sdk-connect", daemon=True)
        self.thread.start()

    def has_begun(self) -> bool:
        """False if no thread could be started, or an interrupt came before."""
        return self.done.is_set or (self.thread is not None and self.thread.is_alive())

    def run(self, connect: Callable[[float], AnyConnection]) -> None:
        try:
            self.connection = connect(self.deadline)
        except Exception as error:  # raised by whoever waits
            self.error = error
        self.done.set()

    def take(self) -> AnyConnection | None:
        """The connection, once it is done; `None` if there is none, or if it has been lost since."""
        if self.connection is not None and self.connection.is_current():
            return self.connection
        self.close()
        return None

    def close(self) -> None:
        """Give up the connection, if it is done and has one."""
        if self.done.is_set and self.connection is not None:
            self.connection.close()
            self.connection = None


def remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
