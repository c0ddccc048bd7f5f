"""The opener of stores without an entry point."""

from __future__ import annotations

from typing import Any, Self

from module_sdk.backends import ManagerOptions, TaskManager


class Opened(TaskManager):
    """A store that the suite opens as `module:Class.open`, since it has no entry point."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        return cls(url, ManagerOptions(**options))
