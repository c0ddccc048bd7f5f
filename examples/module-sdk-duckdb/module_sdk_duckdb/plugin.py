"""The entry point of `duckdb://`."""

from __future__ import annotations

from module_sdk.backends import ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    # Imported only for such a URL, so that a missing driver affects no other scheme.
    from module_sdk_duckdb.manager import DuckDBTaskManager  # noqa: PLC0415

    return DuckDBTaskManager(url, options)
