"""The entry point of the SQL schemes."""

from __future__ import annotations

from module_sdk.backends import ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    from module_sdk_sql.manager import SQLTaskManager  # noqa: PLC0415  # loads SQLAlchemy only if it is needed

    return SQLTaskManager(url, options)
