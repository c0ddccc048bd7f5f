"""How a manager calls its primitives: the deadline, the open store, the one place where errors become ours."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from module_sdk.deadlines import earliest
from module_sdk.errors import ModuleSDKError, SchemaMissingError
from module_sdk.opening import Opening
from module_sdk.primitives import StorePrimitives

Result = TypeVar("Result")

managers: weakref.WeakSet[StoreCalls] = weakref.WeakSet()


class StoreCalls(StorePrimitives):
    """The machinery between `TaskManager`'s public methods and a backend's primitives."""

    def deadline(self, timeout_seconds: float | None) -> float:
        if timeout_seconds is None:
            return earliest(time.monotonic() + self.options.timeout_seconds)
        return time.monotonic() + timeout_seconds

    def call(self, primitive: Callable[..., Result], *args: Any) -> Result:
        """The one error seam: whatever a primitive raises leaves as one of ours, with the original as its cause."""
        try:
            return primitive(*args)
        except SchemaMissingError:
            self.opening.lose_schema()
            raise
        except ModuleSDKError:
            raise
        except Exception as error:
            translated = self.translate_error(error)
            if isinstance(translated, SchemaMissingError):
                self.opening.lose_schema()
            try:
                raise translated from error
            finally:
                # Or the exception would keep itself alive, through its traceback and this frame, and with it the place
                # in a pool of a call that was interrupted.
                del translated

    def call_open(self, primitive: Callable[..., Result], *args: Any) -> Result:
        """`call`, on an open store. The last argument is the deadline."""
        if not self.opening.is_open:
            self.opening.ensure(args[-1])
        return self.call(primitive, *args)

    def new_opening(self) -> Opening:
        def open_store(deadline: float) -> None:
            self.call(self.store_open, self.options.auto_setup and not self.opening.was_open, deadline)

        return Opening(
            open_store,
            on_thread=self.capabilities.server,
            attempt_seconds=self.options.timeout_seconds,
        )

    def reopen_after_fork(self) -> None:
        """In a child: the parent's locks may be held by threads that are not here, and its connections are not ours."""
        earlier, self.opening = self.opening, self.new_opening()
        self.opening.is_closed, self.opening.was_open = earlier.is_closed, earlier.was_open
        self.store_after_fork()


def reopen_managers_after_fork() -> None:
    for manager in list(managers):
        manager.reopen_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reopen_managers_after_fork)
