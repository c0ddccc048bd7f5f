"""Loads plugins, each into its own pluggy manager, so that no plugin can affect the hooks of another."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from module_sdk.errors import ConfigurationError
from module_sdk.plugins.hookspecs import PROJECT
from module_sdk.store.overrides import closest


class PluginManager(pluggy.PluginManager):
    """A manager that accepts functions named like a hook as its implementation, with or without `hookimpl`."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None and name.startswith(f"{PROJECT}_") and callable(getattr(plugin, name, None)):
            return {}
        return options


def hooks_of(plugin: object, specifications: type, what: str) -> pluggy.HookRelay:
    """Return the hooks of one plugin. Raise `ConfigurationError` for no hook, an unknown hook, or wrong arguments."""
    plugins = PluginManager(PROJECT)
    plugins.add_hookspecs(specifications)
    try:
        plugins.register(plugin)
        plugins.check_pending()
    except pluggy.PluginValidationError as error:
        raise ConfigurationError(f"{what} has a wrong hook: {error}{guess(plugin, specifications)}") from error
    if not plugins.get_hookcallers(plugin):
        names = ", ".join(name for name in vars(specifications) if name.startswith(PROJECT))
        raise ConfigurationError(f"{what} implements none of the hooks {names}")
    return plugins.hook


def guess(plugin: object, specifications: type) -> str:
    """Return the end of a message that suggests the hook a misspelt name may mean; empty if no name is close."""
    known = {name for name in vars(specifications) if name.startswith(PROJECT)}
    unknown = [name for name in dir(plugin) if name.startswith(PROJECT) and name not in known]
    return "".join(f"; did you mean {meant}?" for name in unknown if (meant := closest(name, known)))


def load_plugin(entry: EntryPoint, what: str) -> object:
    """Return the object of an entry point. Raise a `ConfigurationError` that names it, with the cause."""
    try:
        plugin: object = entry.load()
    except (Exception, SystemExit) as error:  # a script registered as a plugin must not end the host
        raise ConfigurationError(f"{what}, {entry.value}, cannot be loaded: {type(error).__name__}: {error}") from error
    return plugin
