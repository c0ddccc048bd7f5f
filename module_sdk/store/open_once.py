"""OpenOnce a store: once, at first need, never longer than the caller may wait (DESIGN.md, "Deadlines")."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.store.latch import Latch
from module_sdk.store.slots import SlotPool

seen_places: set[Hashable] = set()
"""The stores whose schema this process has seen, through any of its managers; only `module_sdk.reset` forgets them.

A process never creates a schema that it has seen before: somebody may be restoring a backup at that moment (SEE-10).
"""


class OpenOnce:
    """Runs `open_store(deadline)` until it has succeeded once.

    A store behind a network opens on a thread of its own, since drivers' connect timeouts are not to be trusted; the
    caller waits no longer than its deadline, and a later caller finds the attempt under way or done.
    """

    def __init__(
        self, open_store: Callable[[float], None], *, place: Hashable, on_thread: bool, attempt_seconds: float
    ) -> None:
        """`place` is equal for two managers of one store; of a store that ends with its manager, for no other."""
        self.open_store = open_store
        self.place = place
        self.on_thread = on_thread
        self.attempt_seconds = attempt_seconds
        self.is_open = False
        self.is_closed = False
        # One thread opens at a time. No lock: an interrupt would leave it held, and a handler would wait for itself.
        self.turn: SlotPool[None] = SlotPool(1)
        self.attempt: Attempt | None = None

    def ensure(self, deadline: float) -> None:
        """Return once the store is open. Raises what opening raised, or `TaskBackendUnavailableError` when late."""
        if not self.on_thread:
            self.open_now(self.open_store, deadline)
            return
        self.refuse_closed()
        if self.is_open:
            return
        attempt = self.attempt
        if attempt is None or not attempt.has_begun():
            # Two threads may begin one each; then the second of them finds the store open.
            attempt = self.attempt = Attempt()
            attempt.begin(self.run)
        if not attempt.done.wait(max(0.0, deadline - time.monotonic())):
            raise TaskBackendUnavailableError("the store is not connected yet: no answer in time")
        if attempt.error is not None:
            raise attempt.error

    def open_now(self, open_store: Callable[[float], None], deadline: float, *, again: bool = False) -> None:
        """Open in the calling thread, one at a time; with `again`, even if it is open."""
        self.refuse_closed()
        place = self.turn.take(deadline)
        if place is None:
            raise TaskBackendUnavailableError("the store is still being opened: no answer in time")
        try:
            if again or not self.is_open:
                open_store(deadline)
                seen_places.add(self.place)
                self.is_open = True
                if self.is_closed:  # in between, and `close` could not see it open
                    self.is_open = False
                    self.refuse_closed()
        finally:
            place.back(place)
            self.turn.given()
            del place

    def run(self, attempt: Attempt) -> None:
        try:
            self.open_now(self.open_store, time.monotonic() + self.attempt_seconds)
        except Exception as error:  # raised by every caller that waits
            attempt.error = error
        if self.attempt is attempt:
            self.attempt = None
        attempt.done.set()

    def refuse_closed(self) -> None:
        if self.is_closed:
            raise TaskBackendError("the task manager is closed")

    @property
    def was_open(self) -> bool:
        """Whether this process has seen the store's schema."""
        return self.place in seen_places

    def lose_schema(self) -> None:
        """The schema is gone: each later call looks for it again, until it is found or `setup` has created it."""
        self.is_open = False

    def close(self) -> bool:
        """Refuse all further use; true for the first call."""
        first, self.is_closed, self.is_open = not self.is_closed, True, False
        return first


class Attempt:
    """One run of opening, shared by all callers who wait for it."""

    def __init__(self) -> None:
        self.done = Latch()
        self.thread: threading.Thread | None = None
        self.error: Exception | None = None

    def begin(self, run: Callable[[Attempt], None]) -> None:
        self.thread = threading.Thread(target=run, args=(self,), name="module-sdk-connect", daemon=True)
        try:
            self.thread.start()
        except RuntimeError as error:
            raise TaskBackendUnavailableError(f"the store cannot be connected to: {error}") from error

    def has_begun(self) -> bool:
        """False if no thread could be started, or an interrupt came before."""
        return self.done.is_set or (self.thread is not None and self.thread.is_alive())
