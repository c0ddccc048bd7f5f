"""Live events within this process: changes of tasks and unstored progress, by organization (clause EVENT-01)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from module_sdk.domain.reports import report
from module_sdk.domain.sentinels import ANY, Anything
from module_sdk.domain.shapes import AnyTaskId, Identifier, TaskEvent
from module_sdk.domain.text_rules import task_id_text
from module_sdk.errors import InvalidInputError
from module_sdk.facade.sessions import session_scope

Callback = Callable[[TaskEvent], object]


class Subscription:
    """What `subscribe` returns. It ends with `close()`, or with the `with` block that it opens."""

    def __init__(self, callback: Callback, scope: Identifier | Anything | None, task_id: str | None) -> None:
        self.callback = callback
        self.scope = scope
        self.task_id = task_id

    def close(self) -> None:
        """Receive nothing more; a second call does nothing."""
        subscribers.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Subscribers:
    def __init__(self) -> None:
        # In the order of subscribing. No lock: each change is one step of the dictionary.
        self.current: dict[Subscription, None] = {}

    def add(self, subscription: Subscription) -> None:
        self.current[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        self.current.pop(subscription, None)

    def forget(self) -> None:
        self.current.clear()

    def publish(self, organization_id: Identifier | None, event: TaskEvent) -> None:
        """Call those of the organization, in the publisher's thread; one that raises is logged."""
        for subscription in list(self.current):
            if subscription.scope not in (ANY, organization_id) or subscription.task_id not in (None, event["task_id"]):
                continue
            try:
                subscription.callback(copy.deepcopy(event))
            except BaseException as error:  # the change is stored: no callback may decide what follows
                report(logging.ERROR, "a subscriber of task events raised", error=error)


subscribers: Final = Subscribers()


def subscribe(callback: Callback, *, task_id: AnyTaskId | None = None) -> Subscription:
    """Call `callback(event)` for the events of this process, in the session's organization.

    Example:
        with tasks.subscribe(lambda event: print(event["type"], event["task_id"])):
            ...

    Args:
        callback: Receives a `ChangedEvent` or a `ProgressEvent`, of its own. It runs in the thread that reports the
            event, so it must be quick. What it raises is logged.
        task_id: Only the events of this task.

    Returns:
        A subscription. It ends with its `close()`, or with the `with` block that it opens.

    Raises:
        SessionRequiredError: No session is bound.
        InvalidInputError: The callback cannot be called.
    """
    if not callable(callback):
        raise InvalidInputError(f"callback must be callable, not {type(callback).__name__}", field="callback")
    subscription = Subscription(callback, session_scope(), None if task_id is None else task_id_text(task_id))
    subscribers.add(subscription)
    return subscription
