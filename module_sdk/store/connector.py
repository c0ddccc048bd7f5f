"""Connects to a server on a thread, so that no caller waits longer than its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic

from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.store.connection_pool import AnyConnection
from module_sdk.store.latch import Latch
from module_sdk.store.slots import SlotPool

# The maximum number of threads that may hang while they connect. Resolving a name ignores every deadline, and libpq
# ignores deadlines of less than two seconds.
MAXIMUM_OVERDUE: Final = 4


class Connector(Generic[AnyConnection]):
    """Makes the connections of a pool. Only one caller at a time connects.

    Callers share the attempt in progress. Once that attempt's deadline has passed it cannot succeed, even if the server
    is back, so the next caller starts a new one. If an attempt fails whose caller has left, the waiting caller retries.
    """

    def __init__(self, connect: Callable[[float], AnyConnection]) -> None:
        self.connect_now = connect
        self.turn: SlotPool[None] = SlotPool(1)
        self.attempt: Attempt[AnyConnection] | None = None
        self.overdue: list[Attempt[AnyConnection]] = []
        self.last_error: Exception | None = None

    def connect(self, deadline: float) -> AnyConnection:
        """Return a new connection. Raise the error of connecting, or `TaskBackendUnavailableError` at the deadline."""
        slot = self.turn.take(deadline)
        if slot is None:
            raise TaskBackendUnavailableError("other callers are waiting for a connection too: no answer in time")
        try:
            own: Attempt[AnyConnection] | None = None
            while True:
                attempt = self.attempt
                if attempt is None or not attempt.has_begun():
                    # Stored before it begins: an interrupt must not leave a connection that nothing refers to.
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
            slot.back(slot)
            self.turn.announce_return()
            del slot

    def leave(self, attempt: Attempt[AnyConnection], deadline: float) -> None:
        """Abandon an overdue attempt. If too many attempts hang already, wait for this one instead."""
        self.forget_ended()
        if len(self.overdue) < MAXIMUM_OVERDUE:
            self.overdue.append(attempt)
            self.attempt = None
        else:
            attempt.done.wait(remaining(deadline))

    def forget_ended(self) -> None:
        """Remove ended overdue attempts, and keep the driver's error as the cause of a later timeout."""
        for attempt in [attempt for attempt in self.overdue if attempt.done.is_set]:
            self.overdue.remove(attempt)
            self.last_error = attempt.error or self.last_error
            attempt.close()


class Attempt(Generic[AnyConnection]):
    """One attempt to connect. Its caller may have left before it ends."""

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
        """Return whether the thread runs or has ended. False if starting it failed or was interrupted."""
        return self.done.is_set or (self.thread is not None and self.thread.is_alive())

    def run(self, connect: Callable[[float], AnyConnection]) -> None:
        try:
            self.connection = connect(self.deadline)
        except Exception as error:  # raised by the waiting caller
            self.error = error
        self.done.set()

    def take(self) -> AnyConnection | None:
        """Return the connection of an attempt that is done, or `None` if it failed or was lost since."""
        if self.connection is not None and self.connection.is_current():
            return self.connection
        self.close()
        return None

    def close(self) -> None:
        """Close the connection if the attempt is done and has one."""
        if self.done.is_set and self.connection is not None:
            self.connection.close()
            self.connection = None


def remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
