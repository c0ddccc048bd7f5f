"""Loads plugins, each into its own pluggy manager, so that no plugin can affect the hooks of another."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from module_sdk.errors import ConfigurationError
from module_sdk.plugins.hookspecs import PROJECT
from module_sdk.store.overrides import closest


class PluginManager(pluggy.PluginManager):
    """A manager for which a function named like a hook implements it, with or without the decorator `hookimpl`."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None and name.startswith(f"{PROJECT}_") and callable(getattr(plugin, name, None)):
            return {}
        return options


def hooks_of(plugin: object, specifications: type, title: str) -> pluggy.HookRelay:
    """Return the hooks of one plugin, which errors call `title`.

    Raise `ConfigurationError` if it has no hook, an unknown hook, or a hook with wrong arguments.
    """
    plugins = PluginManager(PROJECT)
    plugins.add_hookspecs(specifications)
    try:
        plugins.register(plugin)
        plugins.check_pending()
    except pluggy.PluginValidationError as error:
        raise ConfigurationError(f"{title} has a wrong hook: {error}{suggestions(plugin, specifications)}") from error
    if not plugins.get_hookcallers(plugin):
        names = ", ".join(name for name in vars(specifications) if name.startswith(PROJECT))
        raise ConfigurationError(f"{title} implements none of the hooks {names}")
    return plugins.hook


def suggestions(plugin: object, specifications: type) -> str:
    """Return `; did you mean …?` for each unknown name that is similar to a hook's, to end an error message."""
    known = {name for name in vars(specifications) if name.startswith(PROJECT)}
    unknown = [name for name in dir(plugin) if name.startswith(PROJECT) and name not in known]
    return "".join(f"; did you mean {meant}?" for name in unknown if (meant := closest(name, known)))


def load_plugin(entry: EntryPoint, title: str) -> object:
    """Return the object of an entry point. Raise `ConfigurationError`, with the cause, if it cannot be loaded."""
    try:
        plugin: object = entry.load()
    except (Exception, SystemExit) as error:  # a script registered as a plugin must not end the host
        raise ConfigurationError(
            f"{title}, {entry.value}, cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return plugin
