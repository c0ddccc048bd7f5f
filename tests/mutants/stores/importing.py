"""A good store whose import is watched."""

from __future__ import annotations

from typing import Any, Self

from module_sdk_memory.manager import MemoryTaskManager

from module_sdk.backends import ManagerOptions


class ImportsNoOther(MemoryTaskManager):
    """The control."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        return cls(url, ManagerOptions(**options))
