"""The entry point of the Redis and Valkey schemes."""

from __future__ import annotations

from module_sdk.backends import ConfigurationError, ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    try:
        from module_sdk_redis.manager import RedisTaskManager  # noqa: PLC0415  # redis-py is loaded when first chosen
    except ImportError as error:
        raise ConfigurationError(f"redis:// needs redis-py ({error}): pip install 'module-sdk[redis]'") from error

    return RedisTaskManager(url, options)
