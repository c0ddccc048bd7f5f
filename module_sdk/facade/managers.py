"""OpenOnce a manager by hand."""

from __future__ import annotations

from typing import Unpack

from module_sdk.plugins.registry import registry
from module_sdk.store.manager import TaskManager
from module_sdk.store.options import OpenOptions, UnknownOptionError


def open_manager(url: str, **options: Unpack[OpenOptions]) -> TaskManager:
    """Open a manager by hand. It connects at its first call. Close it after use.

    Example:
        with contextlib.closing(module_sdk.open_manager("sqlite:///tasks.db", namespace="shop")) as manager:
            print(manager.count())

    Args:
        url: Which store: `sqlite:///tasks.db`, `postgresql://…`, `redis://…` and so on.
        **options: The fields of `ManagerOptions`; time spans are in seconds. An option that only a backend knows is
            passed as `**own`, where `own` is a `dict[str, Any]`, since type checkers know no such names.

    Raises:
        ConfigurationError: The URL, its scheme or an option is wrong, or the driver is not installed.
    """
    try:
        return registry.open_manager(url, {**options})
    except UnknownOptionError as error:
        from module_sdk.facade import near_misses  # noqa: PLC0415  # hardly ever needed

        error.args = (f"{error}{near_misses.option_meant(error.name, error.known)}",)
        raise
