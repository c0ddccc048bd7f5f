"""How a manager calls its primitives: with a deadline, on an open store, and with errors of module-sdk only."""

from __future__ import annotations

import functools
import logging
import os
import time
import traceback
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from module_sdk.errors import ConfigurationError, ModuleSDKError, SchemaMissingError
from module_sdk.store.deadlines import earliest
from module_sdk.store.open_once import OpenOnce
from module_sdk.store.primitives import StorePrimitives

Result = TypeVar("Result")
logger = logging.getLogger("module_sdk.tasks")

managers: weakref.WeakSet[StoreCalls] = weakref.WeakSet()


class StoreCalls(StorePrimitives):
    """The machinery between `TaskManager`'s public methods and a backend's primitives."""

    source = "open_manager(…)"
    """Where the URL came from, for log messages."""

    def deadline(self, timeout_seconds: float | None) -> float:
        if timeout_seconds is None:
            return earliest(time.monotonic() + self.options.timeout_seconds)
        return time.monotonic() + timeout_seconds

    def call(self, primitive: Callable[..., Result], *args: Any) -> Result:
        """Call a primitive. Raise every failure as an error of module-sdk, with the original as its cause.

        A cause that contains a secret of the URL or the options is omitted (DISC-08). Every primitive must be called
        through this method.
        """
        try:
            return primitive(*args)
        except ModuleSDKError as error:
            clear_frames(error)
            failure = error
        except Exception as error:
            clear_frames(error)
            failure = self.translate_error(error)
            failure.__cause__ = error
        except BaseException as error:
            clear_frames(error)
            raise
        if isinstance(failure, SchemaMissingError):
            self.opening.lose_schema()
        try:
            # Outside the handler: inside, Python would set the driver's error as the context again.
            raise self.url.seal(failure)
        finally:
            # Avoids a cycle: the traceback of the error refers to this frame.
            del failure

    def call_open(self, primitive: Callable[..., Result], *args: Any) -> Result:
        """Open the store if necessary, then `call`. The last argument is the deadline."""
        if not self.opening.is_open:
            self.call(self.opening.ensure, args[-1])
        return self.call(primitive, *args)

    @functools.cached_property
    def identity(self) -> int:
        """A number that is equal for managers of the same store. Not a text, since the URL may contain a password."""
        try:
            folder = os.getcwd()  # noqa: PTH109  # only compared as text
        except FileNotFoundError:  # the folder was removed
            folder = ""
        # A relative path depends on the working folder.
        return hash((self.url.text, self.options.namespace, repr(self.options.extra), folder))

    def new_opening(self) -> OpenOnce:
        def open_store(deadline: float) -> None:
            self.call(self.open_or_explain, self.options.auto_setup and not self.opening.was_open, deadline)
            logger.info("opened the store %s (from %s), namespace %s", self.url, self.source, self.options.namespace)

        can_outlive_the_manager = bool({"shared", "durable", "server"} & set(self.capabilities.names()))
        return OpenOnce(
            open_store,
            identity=self.identity if can_outlive_the_manager else object(),
            on_thread=self.capabilities.server,
            attempt_seconds=self.options.timeout_seconds,
        )

    def open_or_explain(self, create: bool, deadline: float) -> None:
        """Open the store. Raise `ConfigurationError` for a fault that the operator must correct."""
        try:
            self.store_open(create, deadline)
        except Exception as error:
            fault = self.setup_fault(error)
            # A schema that was there before has been dropped: no right or setting is wrong.
            was_dropped = self.opening.was_open and not create and self.is_missing_schema(error)
            if fault is None or was_dropped:
                raise
            raise ConfigurationError(f"{self.url}: {fault} ({self.describe_error(error)})") from error

    def reopen_after_fork(self) -> None:
        """Reset the manager in a forked child.

        The threads that may have locked its locks do not exist there, and its connections belong to the parent.
        """
        earlier, self.opening = self.opening, self.new_opening()
        self.opening.is_closed = earlier.is_closed
        self.store_after_fork()


def clear_frames(error: BaseException | None) -> None:
    """Clear the frames of the error, so that a stored exception keeps no slot, connection or payload of the call alive.

    A slot that an interrupt has lost is only found once its object is destroyed (`slots.py`).
    """
    seen: set[int] = set()
    # The chain may contain a cycle: the cause of an error may have that error as its context.
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def reopen_managers_after_fork() -> None:
    for manager in list(managers):
        manager.reopen_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reopen_managers_after_fork)
