"""Observers: hooks that are told of failed lookups and of changed tasks, and can break neither (clause FAIL-11)."""

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
    """Those of the entry-point group, loaded at the first notification, and the registered ones."""

    def __init__(self) -> None:
        # No lock: each change is one step of a dictionary, and a handler may interrupt a lookup that notifies.
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

    def are_there(self) -> bool:
        return bool(self.registered or self.those_installed())

    def notify(self, hook_name: str, **arguments: Any) -> None:
        """Call each observer by itself, so that one that raises neither stops the others nor the caller."""
        for hooks in [*self.those_installed(), *(hooks for _, hooks in list(self.registered.values()))]:
            try:
                # A row is the observer's own: changing it must not reach the next one.
                own = {name: dict(value) if isinstance(value, dict) else value for name, value in arguments.items()}
                getattr(hooks, hook_name)(**own)
            except BaseException as error:  # what happened is stored: no hook may decide what follows
                report(logging.ERROR, "an observer of %s raised", hook_name, error=error)

    def those_installed(self) -> list[pluggy.HookRelay]:
        if self.installed is not None:
            return self.installed
        loaded = []
        for entry in entry_points(group=GROUP):
            what = f"the observer {entry.name}"
            try:
                loaded.append(hooks_of(load_plugin(entry, what), ObserverHooks, what))
            except BaseException as error:  # pluggy looks at every attribute, and one may be code that raises
                report(logging.ERROR, "%s is left out", what, error=error)
        self.installed = loaded
        return loaded


observers: Final = Observers()


def register_observer(observer: object) -> None:
    """Call the hooks of an object for the failed lookups and the changed tasks of this process.

    Args:
        observer: An object with `module_sdk_lookup_failed(operation, error)`, `module_sdk_task_changed(row, change)`
            or both, each marked with `@module_sdk.hookimpl`. A hook may leave arguments out. What it raises is logged.

    Raises:
        ConfigurationError: The object has no such hook, or a hook takes an unknown argument.
    """
    observers.register(observer)


def unregister_observer(observer: object) -> None:
    """Undo `register_observer`. Does nothing if the observer was not registered."""
    observers.unregister(observer)
