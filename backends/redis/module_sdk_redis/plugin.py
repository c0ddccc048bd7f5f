"""The entry point of the Redis and Valkey schemes."""

from __future__ import annotations

from module_sdk.backends import ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    from module_sdk_redis.manager import RedisTaskManager  # noqa: PLC0415  # redis-py is loaded when first chosen

    return RedisTaskManager(url, options)
