"""The entry point of `mongodb://` and `mongodb+srv://`."""

from __future__ import annotations

from module_sdk.backends import ConfigurationError, ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    try:
        import pymongo  # noqa: F401, PLC0415  # the driver is an extra, and is loaded only if used
    except ModuleNotFoundError as error:
        raise ConfigurationError("mongodb:// needs pymongo: pip install 'module-sdk[mongo]'") from error
    from module_sdk_mongo.manager import MongoTaskManager  # noqa: PLC0415  # as above

    return MongoTaskManager(url, options)
