"""Live events of this process: changes of tasks, and progress that is not stored, per organization (EVENT-01)."""

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
    """A subscription, as `subscribe` returns it. It ends with `close()` or at the end of its `with` block."""

    def __init__(self, callback: Callback, scope: Identifier | Anything | None, task_id: str | None) -> None:
        self.callback = callback
        self.scope = scope
        self.task_id = task_id

    def close(self) -> None:
        """End the subscription. A second call does nothing."""
        subscribers.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Subscribers:
    """The current subscriptions of this process."""

    def __init__(self) -> None:
        # In the order of subscribing. It needs no lock: each change is one atomic operation of the dictionary.
        self.current: dict[Subscription, None] = {}

    def add(self, subscription: Subscription) -> None:
        self.current[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        self.current.pop(subscription, None)

    def forget(self) -> None:
        self.current.clear()

    def publish(self, organization_id: Identifier | None, event: TaskEvent) -> None:
        """Call the subscribers of the organization in the publisher's thread. Log a callback that raises."""
        for subscription in list(self.current):
            if subscription.scope not in (ANY, organization_id) or subscription.task_id not in (None, event["task_id"]):
                continue
            try:
                subscription.callback(copy.deepcopy(event))
            except BaseException as error:  # the change is stored, so a callback must not affect what happens next
                report(logging.ERROR, "a subscriber of task events raised", error=error)


subscribers: Final = Subscribers()


def subscribe(callback: Callback, *, task_id: AnyTaskId | None = None) -> Subscription:
    """Call `callback(event)` for each event of this process in the session's organization.

    Example:
        with tasks.subscribe(lambda event: print(event["type"], event["task_id"])):
            ...

    Args:
        callback: Receives its own copy of a `ChangedEvent` or a `ProgressEvent`. It runs in the thread that reports the
            event, so it must be quick. An exception that it raises is logged.
        task_id: Only the events of this task. `None` means those of all tasks.

    Returns:
        A subscription. It ends with `close()` or at the end of its `with` block.

    Raises:
        SessionRequiredError: No session is bound.
        InvalidInputError: `callback` is not callable, or `task_id` is not a task id.
    """
    if not callable(callback):
        raise InvalidInputError(f"callback must be callable, not {type(callback).__name__}", field="callback")
    subscription = Subscription(callback, session_scope(), None if task_id is None else task_id_text(task_id))
    subscribers.add(subscription)
    return subscription
