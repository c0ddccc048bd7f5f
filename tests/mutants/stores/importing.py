"""A correct store for the test of which modules its import loads."""

from __future__ import annotations

from typing import Any, Self

from module_sdk_memory.manager import MemoryTaskManager

from module_sdk.backends import ManagerOptions


class ImportsNoOther(MemoryTaskManager):
    """The control: it imports no other backend."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        return cls(url, ManagerOptions(**options))
