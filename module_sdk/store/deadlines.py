"""The deadline of a call that makes several calls of a manager, or that waited before it could begin."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Limit:
    """By when everything inside a call must end. Copies of its context outlive the call, so it says when it is over."""

    __slots__ = ("deadline", "is_over")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_over = False


in_force: contextvars.ContextVar[Limit | None] = contextvars.ContextVar("module_sdk_limit", default=None)


def limited(call: Callable[[], Result], deadline: float) -> Result:
    """What the call returns; calls of a manager that it makes without a timeout of their own end by the deadline."""
    limit = Limit(earliest(deadline))
    token = in_force.set(limit)
    try:
        return call()
    finally:
        limit.is_over = True
        in_force.reset(token)


def earliest(deadline: float) -> float:
    """The deadline, or that of the call which makes this one, if it comes first."""
    limit = in_force.get()
    return deadline if limit is None or limit.is_over else min(deadline, limit.deadline)
