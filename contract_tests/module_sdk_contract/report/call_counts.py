"""How many calls to the store a test makes before it fails: the shorter the way, the likelier the cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from module_sdk.backends import TaskManager


class CallCount:
    """Of the managers of one test."""

    def __init__(self) -> None:
        self.number = 0

    def watch(self, manager: TaskManager) -> None:
        """Count what the manager asks its store, whatever its class makes of `call`."""
        call = manager.call

        def counted(primitive: Callable[..., Any], *arguments: Any) -> Any:
            self.number += 1
            return call(primitive, *arguments)

        vars(manager)["call"] = counted

    def begin_case(self) -> None:
        """What follows does not need what the test has done so far, and shows a fault by itself."""
        self.number = 0
