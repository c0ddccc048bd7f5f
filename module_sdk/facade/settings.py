"""The settings, and which of their sources counts (DESIGN.md, "Configuration").

Precedence, for each setting by itself: `configure(…)`, the environment (`MODULE_SDK_TASKS_URL`, …), `module_sdk.toml`
in the working folder, `[tool.module-sdk]` in its `pyproject.toml`, the default. `url` and `url_file` are one setting.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Final

from module_sdk.errors import ConfigurationError
from module_sdk.facade.sources import ENVIRONMENT_PREFIX, FILES, check_names, read_environment, read_file
from module_sdk.store.options import DEFAULTS, CommonOptions, OpenOptions, check_seconds, check_whole

MAXIMUM_THREADS: Final = 10_000
# Given to the manager as they are, when they are set.
MANAGER_SETTINGS: Final = ("namespace", "auto_setup", "timeout_seconds", "max_connections", "maximum_payload_bytes")


class InjectedOptions(CommonOptions, total=False):
    """The keyword arguments of `configure` for an injected manager, or for none; `Settings` says what they mean."""

    require_url: bool
    lookup_timeout_seconds: float
    breaker: bool
    max_running_tasks: int
    async_threads: int
    handle_sigterm: bool


class ConfigureOptions(InjectedOptions, OpenOptions, total=False):
    """The keyword arguments of `configure` for a store that a URL names."""

    url_file: str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a platform team may set. The names are those of `configure` and, in capitals, of the environment."""

    url: str | None = dataclasses.field(default=None, repr=False)
    """The store. `None`: an SQLite file in the user's data folder."""
    url_file: str | None = dataclasses.field(default=None, repr=False)
    """A file that contains the URL and nothing else, as orchestrators mount secrets."""
    require_url: bool = False
    """Whether a process without a configured store gets an error instead of the default."""
    namespace: str = DEFAULTS.namespace
    auto_setup: bool = DEFAULTS.auto_setup
    timeout_seconds: float = DEFAULTS.timeout_seconds
    """For writes and the read model."""
    lookup_timeout_seconds: float = 2.0
    """For the three lookups, connecting and queueing included."""
    max_connections: int = DEFAULTS.max_connections
    maximum_payload_bytes: int = DEFAULTS.maximum_payload_bytes
    breaker: bool = True
    """Whether lookups stop asking a store that has failed five times in a row."""
    max_running_tasks: int = 32
    """How many synchronous functions run at a time; the rest stay pending."""
    async_threads: int = 32
    """How many threads serve asynchronous calls."""
    handle_sigterm: bool = True
    """Whether SIGTERM ends running work as `interrupted` before the process dies of it."""

    def __post_init__(self) -> None:
        check_seconds("lookup_timeout_seconds", self.lookup_timeout_seconds)
        check_whole("max_running_tasks", self.max_running_tasks, most=MAXIMUM_THREADS)
        check_whole("async_threads", self.async_threads, most=MAXIMUM_THREADS)
        for name in ("breaker", "handle_sigterm", "require_url"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} must be true or false")

    def manager_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in MANAGER_SETTINGS}


KINDS: Final[dict[str, type]] = {
    field.name: str if field.default is None else type(field.default) for field in dataclasses.fields(Settings)
}
SETTING_NAMES: Final = frozenset(KINDS)
PLACES: Final = ("url", "url_file")
"""The two settings that say which store, of which one source may have one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and which source says what the store is."""

    settings: Settings
    place: str | None
    """In words, where `url` or `url_file` came from; `None` if no source has one."""


def load_settings(given: Mapping[str, Any]) -> Loaded:
    """What `configure` was given, the environment and the files say. Raises `ConfigurationError`."""
    check_names(SETTING_NAMES)
    values: dict[str, Any] = {}
    place: str | None = None
    # The weaker first; each has, after its values, the words for one of them.
    sources: list[tuple[Mapping[str, Any], str]] = [
        *((read_file(name, KINDS), f"{name} in the working folder") for name in FILES),
        (read_environment(KINDS), "the environment variable {variable}"),
        (given, "configure({name}=…)"),
    ]
    for found, words in sources:
        here = [name for name in PLACES if name in found]
        if len(here) > 1:
            both = " and ".join(words.format(name=name, variable=variable_of(name)) for name in here)
            raise ConfigurationError(f"url and url_file are both given ({both}): one of them says which store")
        if here:
            values = {name: value for name, value in values.items() if name not in PLACES}
            place = words.format(name=here[0], variable=variable_of(here[0]))
        values |= found
    return Loaded(Settings(**values), place)


def variable_of(name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """The URL of the store, where it came from in words, and the options that only the default one has."""

    url: str = dataclasses.field(repr=False)
    source: str
    is_default: bool = False

    def options(self) -> dict[str, Any]:
        return {"private": True} if self.is_default else {}


def find_store(loaded: Loaded) -> Store:
    """The store that the settings name, or the default. Raises `ConfigurationError`."""
    settings = loaded.settings
    if loaded.place is None:
        if settings.require_url:
            raise ConfigurationError(
                f"no store is configured, and require_url is set: set {variable_of('url')} or {variable_of('url_file')}"
            )
        from module_sdk.facade.default_store import default_url  # noqa: PLC0415  # platformdirs: a chosen store needs none

        return Store(default_url(), "the default: an SQLite file in the user's data folder", is_default=True)
    if settings.url is None:
        from module_sdk.facade.url_file import read_url_file  # noqa: PLC0415  # only where it is set

        url, shown = read_url_file(settings.url_file)
        return Store(url, f"the file {shown}, named by {loaded.place}")
    return Store(settings.url, loaded.place)
