"""A backend that is right, and imports another one. It stands alone: the other mutants import several themselves."""

from __future__ import annotations

import importlib
from typing import Any, Self

from module_sdk_memory.manager import MemoryTaskManager

from module_sdk.backends import ManagerOptions


class ImportsNoOther(MemoryTaskManager):
    """The control."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        return cls(url, ManagerOptions(**options))


class ImportsAnother(ImportsNoOther):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        importlib.import_module("module_sdk_redis.plugin")
