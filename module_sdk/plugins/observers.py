"""Observers: hooks that are called for failed lookups and changed tasks, and cannot break either (clause FAIL-11)."""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import Any, Final

import pluggy

from module_sdk.domain.reports import report
from module_sdk.plugins.hookspecs import ObserverHooks
from module_sdk.plugins.loading import hooks_of, load_plugin

GROUP: Final = "module_sdk.observers"


class Observers:
    """The registered observers and those of the entry-point group, which are loaded at the first notification."""

    def __init__(self) -> None:
        # No lock: each change is one atomic step of a dictionary. A signal handler may interrupt a lookup that notifies
        # and make another one, which would wait for the lock forever.
        self.registered: dict[int, tuple[object, pluggy.HookRelay]] = {}
        self.installed: list[pluggy.HookRelay] | None = None

    def register(self, observer: object) -> None:
        hooks = hooks_of(observer, ObserverHooks, f"the observer {type(observer).__name__}")
        self.registered[id(observer)] = (observer, hooks)

    def unregister(self, observer: object) -> None:
        self.registered.pop(id(observer), None)

    def forget(self) -> None:
        self.registered.clear()
        self.installed = None

    def any_exist(self) -> bool:
        return bool(self.registered or self.load_installed())

    def notify(self, hook_name: str, **arguments: Any) -> None:
        """Call each observer separately, so that one that raises stops neither the others nor the caller."""
        for hooks in [*self.load_installed(), *(hooks for _, hooks in list(self.registered.values()))]:
            try:
                # Each observer gets its own copy of a row, so that the next one does not see its changes.
                own = {name: dict(value) if isinstance(value, dict) else value for name, value in arguments.items()}
                getattr(hooks, hook_name)(**own)
            except BaseException as error:  # the change is stored, so no hook may affect what follows
                report(logging.ERROR, "an observer of %s raised", hook_name, error=error)

    def load_installed(self) -> list[pluggy.HookRelay]:
        if self.installed is not None:
            return self.installed
        loaded = []
        for entry in entry_points(group=GROUP):
            title = f"the observer {entry.name}"
            try:
                loaded.append(hooks_of(load_plugin(entry, title), ObserverHooks, title))
            except BaseException as error:  # pluggy reads every attribute, and a property may raise
                report(logging.ERROR, "%s is left out", title, error=error)
        self.installed = loaded
        return loaded


observers: Final = Observers()


def register_observer(observer: object) -> None:
    """Call the hooks of an object for the failed lookups and the changed tasks of this process.

    Args:
        observer: An object with `module_sdk_lookup_failed(operation, error)`, `module_sdk_task_changed(row, change)`
            or both, each marked with `@module_sdk.hookimpl`. A hook may omit arguments. Its exceptions are logged.

    Raises:
        ConfigurationError: The object has no such hook, or a hook takes an unknown argument.
    """
    observers.register(observer)


def unregister_observer(observer: object) -> None:
    """Undo `register_observer`. Do nothing if the observer is not registered."""
    observers.unregister(observer)
