"""Opens a store once, when it is first used. No caller waits for that longer than its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.store.latch import Latch
from module_sdk.store.slots import SlotPool

seen_stores: set[Hashable] = set()
"""The stores whose schema this process has seen, through any of its managers. Only `module_sdk.reset` clears this.

A process must never create a schema that it has seen before: a backup may be being restored at that moment (SEE-10).
"""


class OpenOnce:
    """Runs `open_store(deadline)` until it has succeeded once.

    A store behind a network is opened on a separate thread, because the connect timeouts of drivers are unreliable. A
    caller waits no longer than its deadline; a later caller joins the attempt in progress or uses its result.
    """

    def __init__(
        self, open_store: Callable[[float], None], *, identity: Hashable, on_thread: bool, attempt_seconds: float
    ) -> None:
        """Prepare to open the store.

        `identity` must be equal for two managers of one store, and unique for a store that ends with its manager.
        """
        self.open_store = open_store
        self.identity = identity
        self.on_thread = on_thread
        self.attempt_seconds = attempt_seconds
        self.is_open = False
        self.is_closed = False
        # One thread opens at a time. Not a lock: an interrupt could leave it locked, and a signal handler that makes a
        # call would wait for the thread that it interrupts.
        self.turn: SlotPool[None] = SlotPool(1)
        self.attempt: Attempt | None = None

    def ensure(self, deadline: float) -> None:
        """Wait until the store is open. Raise its error, or `TaskBackendUnavailableError` at the deadline."""
        if not self.on_thread:
            self.open_now(self.open_store, deadline)
            return
        self.refuse_closed()
        if self.is_open:
            return
        attempt = self.attempt
        if attempt is None or not attempt.has_begun():
            # Two threads may each begin an attempt. The second one waits its turn and opens only if the first failed.
            attempt = self.attempt = Attempt()
            attempt.begin(self.run)
        if not attempt.done.wait(max(0.0, deadline - time.monotonic())):
            raise TaskBackendUnavailableError("the store is not connected yet: no answer in time")
        if attempt.error is not None:
            raise attempt.error

    def open_now(self, open_store: Callable[[float], None], deadline: float, *, again: bool = False) -> None:
        """Open in the calling thread, one thread at a time. With `again`, do so even if the store is open."""
        self.refuse_closed()
        slot = self.turn.take(deadline)
        if slot is None:
            raise TaskBackendUnavailableError("the store is still being opened: no answer in time")
        try:
            if again or not self.is_open:
                open_store(deadline)
                seen_stores.add(self.identity)
                self.is_open = True
                if self.is_closed:  # `close` ran meanwhile, before `is_open` was set
                    self.is_open = False
                    self.refuse_closed()
        finally:
            slot.back(slot)
            self.turn.announce_return()
            del slot

    def run(self, attempt: Attempt) -> None:
        try:
            self.open_now(self.open_store, time.monotonic() + self.attempt_seconds)
        except Exception as error:  # raised by every waiting caller
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
        return self.identity in seen_stores

    def lose_schema(self) -> None:
        """Note that the schema is gone. Each later call looks for it, until it is back or `setup` has created it."""
        self.is_open = False

    def close(self) -> bool:
        """Refuse all further use. Return whether this is the first call."""
        is_first_call, self.is_closed, self.is_open = not self.is_closed, True, False
        return is_first_call


class Attempt:
    """One attempt to open the store, shared by all waiting callers."""

    def __init__(self) -> None:
        self.done = Latch()
        self.thread: threading.Thread | None = None
        self.error: Exception | None = None

    def begin(self, run: Callable[[Attempt], None]) -> None:
        self.thread = threading.Thread(target=run, args=(self,), name="module-sdk-connect", daemon=True)
        try:
            self.thread.start()
        except RuntimeError as error:
            raise TaskBackendUnavailableError(f"no thread could be started to connect to the store: {error}") from error

    def has_begun(self) -> bool:
        """Return whether the thread runs or has ended. False if starting it failed or was interrupted."""
        return self.done.is_set or (self.thread is not None and self.thread.is_alive())
