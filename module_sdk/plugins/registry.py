"""Finds the backend of a URL. Only the entry point named like the scheme is loaded (clauses DISC-01, 02)."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import pluggy

from module_sdk.errors import ConfigurationError
from module_sdk.plugins.hookspecs import BackendHooks
from module_sdk.plugins.loading import hooks_of, load_plugin
from module_sdk.store.manager import TaskManager
from module_sdk.store.options import ManagerOptions
from module_sdk.store.urls import StoreURL

GROUP: Final = "module_sdk.backends"
OPTION_NAMES: Final = frozenset(field.name for field in dataclasses.fields(ManagerOptions)) - {"extra"}

Hooks = pluggy.HookRelay


class Registry:
    """The loaded backend plugins. A plugin that serves several schemes is registered once."""

    def __init__(self, find_entry_points: Callable[[], list[EntryPoint]] | None = None) -> None:
        self.find_entry_points = find_entry_points or (lambda: list(entry_points(group=GROUP)))
        self.lock = threading.RLock()
        self.hooks: dict[int, Hooks] = {}
        self.plugins: dict[str, object] = {}

    def schemes(self) -> list[str]:
        """Return the URL schemes for which a backend is installed, sorted."""
        return sorted({entry.name for entry in self.find_entry_points()})

    def open_manager(self, url: str, options: dict[str, Any]) -> TaskManager:
        """Return the manager for a URL, without connecting. Raise `ConfigurationError`."""
        parsed = StoreURL.parse(url)
        known = {name: value for name, value in options.items() if name in OPTION_NAMES}
        if parsed.namespace is not None:
            known["namespace"] = parsed.namespace
        extra = {name: value for name, value in options.items() if name not in OPTION_NAMES}
        hooks = self.hooks_for(parsed.scheme)
        manager_options = ManagerOptions(**known, extra=extra)
        parsed = parsed.hiding(manager_options.secrets())
        failure: ConfigurationError | None = None
        manager: object = None
        try:
            manager = hooks.module_sdk_open_task_manager(url=parsed.text, options=manager_options)
        except ConfigurationError as error:
            failure = error
        except Exception as error:
            failure = ConfigurationError(
                f"the backend of {parsed.scheme}:// could not open {parsed}: {type(error).__name__}: {error}"
            )
            failure.__cause__ = error
        if failure is not None:
            # Outside the handler: inside, Python would set an error that may repeat a password as the context again.
            raise parsed.seal(failure)
        if not isinstance(manager, TaskManager):
            raise ConfigurationError(
                f"the backend of {parsed.scheme}:// returned {type(manager).__name__}, not a TaskManager"
            )
        return manager

    def hooks_for(self, scheme: str) -> Hooks:
        with self.lock:
            if scheme not in self.plugins:
                self.plugins[scheme] = self.load(scheme)
            plugin = self.plugins[scheme]
            if id(plugin) not in self.hooks:
                self.hooks[id(plugin)] = hooks_of(plugin, BackendHooks, f"the backend of {scheme}://")
            return self.hooks[id(plugin)]

    def load(self, scheme: str) -> object:
        # An editable install beside a wheel lists one distribution twice, which is not a conflict.
        found = {(entry.value, entry.dist.name if entry.dist else ""): entry for entry in self.candidates(scheme)}
        if not found:
            import difflib  # noqa: PLC0415  # only a wrong URL needs it; at the top, every process would import it

            schemes = self.schemes()
            close = difflib.get_close_matches(scheme, schemes, n=1)
            guess = f"; did you mean {close[0]}://?" if close else ""
            raise ConfigurationError(
                f"no backend is installed for {scheme}:// (installed: {', '.join(schemes) or 'none'}){guess}"
            )
        if len(found) > 1:
            claims = " and ".join(sorted(f"{value} of {dist or 'an unknown distribution'}" for value, dist in found))
            raise ConfigurationError(f"more than one backend claims {scheme}://: {claims}; uninstall all but one")
        (entry,) = found.values()
        return load_plugin(entry, f"the backend of {scheme}://")

    def candidates(self, scheme: str) -> list[EntryPoint]:
        return [entry for entry in self.find_entry_points() if entry.name == scheme]


registry: Final = Registry()
