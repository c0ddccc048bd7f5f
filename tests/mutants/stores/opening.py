"""How the suite opens a store that no entry point serves."""

from __future__ import annotations

from typing import Any, Self

from module_sdk.backends import ManagerOptions, TaskManager


class Opened(TaskManager):
    """Opened by the suite as `module:Class.open`, since no entry point serves it."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        return cls(url, ManagerOptions(**options))
