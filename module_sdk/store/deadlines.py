"""One deadline for several calls of a manager, and for calls that had to wait before they began."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Limit:
    """The deadline for everything inside a call. `is_over` ends it, because copies of the context outlive the call."""

    __slots__ = ("deadline", "is_over")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_over = False


in_force: contextvars.ContextVar[Limit | None] = contextvars.ContextVar("module_sdk_limit", default=None)


def limited(call: Callable[[], Result], deadline: float) -> Result:
    """Return what `call` returns. Manager calls inside it that have no timeout of their own end by the deadline."""
    limit = Limit(earliest(deadline))
    token = in_force.set(limit)
    try:
        return call()
    finally:
        limit.is_over = True
        in_force.reset(token)


def earliest(deadline: float) -> float:
    """Return the deadline, or the deadline of the surrounding `limited` call if that is earlier."""
    limit = in_force.get()
    return deadline if limit is None or limit.is_over else min(deadline, limit.deadline)
