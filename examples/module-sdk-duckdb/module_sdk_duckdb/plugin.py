"""The entry point of `duckdb://`."""

from __future__ import annotations

from module_sdk.backends import ManagerOptions, TaskManager, hookimpl


@hookimpl
def module_sdk_open_task_manager(url: str, options: ManagerOptions) -> TaskManager:
    # Imported when a URL asks for it: a missing driver is then reported for this scheme, and costs no other.
    from module_sdk_duckdb.manager import DuckDBTaskManager  # noqa: PLC0415

    return DuckDBTaskManager(url, options)
