"""The pluggy hooks of module-sdk: one for backends, two for observers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from module_sdk.domain.shapes import LookupName, TaskChange, TaskRow
    from module_sdk.store.manager import TaskManager
    from module_sdk.store.options import ManagerOptions

PROJECT: Final = "module_sdk"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class BackendHooks:
    """The hook of plugins in the entry-point group `module_sdk.backends`, which has one entry per URL scheme."""

    @hookspec(firstresult=True)
    def module_sdk_open_task_manager(self, url: str, options: ManagerOptions) -> TaskManager | None:
        """Return the manager for this URL without touching the network. Raise `ConfigurationError` for a bad URL."""


class ObserverHooks:
    """The hooks of plugins in the entry-point group `module_sdk.observers`, and of `register_observer`."""

    @hookspec
    def module_sdk_lookup_failed(self, operation: LookupName, error: Exception) -> None:
        """React to a lookup of the facade that returned an empty list because of this error."""

    @hookspec
    def module_sdk_task_changed(self, row: TaskRow, change: TaskChange) -> None:
        """React to a change of a task that this process stored: `created`, `updated`, or the new status."""
