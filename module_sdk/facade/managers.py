"""Opening a manager without `configure`."""

from __future__ import annotations

from typing import Unpack

from module_sdk.plugins.registry import registry
from module_sdk.store.manager import TaskManager
from module_sdk.store.options import OpenOptions, UnknownOptionError


def open_manager(url: str, **options: Unpack[OpenOptions]) -> TaskManager:
    """Return a new manager that is not the configured one. It connects at its first call. Close it after use.

    Example:
        with contextlib.closing(module_sdk.open_manager("sqlite:///tasks.db", namespace="shop")) as manager:
            print(manager.count())

    Args:
        url: The URL of the store: `sqlite:///tasks.db`, `postgresql://…`, `redis://…` and so on.
        **options: The fields of `ManagerOptions`; durations are in seconds. Pass an option that only one backend knows
            as `**own`, where `own` is a `dict[str, Any]`, because type checkers do not know its name.

    Raises:
        ConfigurationError: The URL, its scheme or an option is wrong, or the driver is not installed.
    """
    try:
        return registry.open_manager(url, {**options})
    except UnknownOptionError as error:
        from module_sdk.facade import near_misses  # noqa: PLC0415  # hardly ever needed

        error.args = (f"{error}{near_misses.option_meant(error.name, error.known)}",)
        raise
