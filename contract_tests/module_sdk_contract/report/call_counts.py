"""Counts of the calls to the store that a test makes before it fails: the fewer, the likelier it shows the cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from module_sdk.backends import TaskManager


class CallCount:
    """The number of calls to the store that the managers of one test have made."""

    def __init__(self) -> None:
        self.number = 0

    def watch(self, manager: TaskManager) -> None:
        """Count the manager's calls to its store, even if its class overrides `call`."""
        call = manager.call

        def counted(primitive: Callable[..., Any], *arguments: Any) -> Any:
            self.number += 1
            return call(primitive, *arguments)

        vars(manager)["call"] = counted

    def begin_case(self) -> None:
        """Count from zero, because the next case does not depend on the earlier calls and shows a bug by itself."""
        self.number = 0
