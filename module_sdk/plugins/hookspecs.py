"""The hooks of module-sdk (pluggy): one for backends, two for observers."""

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
    """For the plugins of the entry-point group `module_sdk.backends`, one entry a URL scheme."""

    @hookspec(firstresult=True)
    def module_sdk_open_task_manager(self, url: str, options: ManagerOptions) -> TaskManager | None:
        """Return the manager of this URL without touching the network; raise `ConfigurationError` for a bad URL."""


class ObserverHooks:
    """For the plugins of the entry-point group `module_sdk.observers`, and for `register_observer`."""

    @hookspec
    def module_sdk_lookup_failed(self, operation: LookupName, error: Exception) -> None:
        """A lookup of the facade gave an empty list because of this error."""

    @hookspec
    def module_sdk_task_changed(self, row: TaskRow, change: TaskChange) -> None:
        """This process stored a change of a task: `created`, `updated`, or the status it moved to."""
