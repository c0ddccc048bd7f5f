"""The entry point for the Redis and Valkey URL schemes."""

from __future__ import annotations

from module_sdk.backends import ConfigurationError, ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    try:
        from module_sdk_redis.manager import RedisTaskManager  # noqa: PLC0415  # loads redis-py only if used
    except ImportError as error:
        raise ConfigurationError(f"redis:// needs redis-py ({error}): pip install 'module-sdk[redis]'") from error

    return RedisTaskManager(url, options)
