"""The entry point of `memory://`."""

from __future__ import annotations

from module_sdk.backends import ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    from module_sdk_memory.manager import MemoryTaskManager  # noqa: PLC0415  # loads it only if used

    return MemoryTaskManager(url, options)
