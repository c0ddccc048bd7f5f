"""The settings, and the precedence of their sources (docs/configuration.md).

The precedence of each setting: `configure(…)`, the environment (`MODULE_SDK_TASKS_URL`, …), `module_sdk.toml` in the
working folder, `[tool.module-sdk]` in its `pyproject.toml`, the default. `url` and `url_file` count as one setting.
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
# Passed to the manager unchanged.
MANAGER_SETTINGS: Final = ("namespace", "auto_setup", "timeout_seconds", "max_connections", "maximum_payload_bytes")


class InjectedOptions(CommonOptions, total=False):
    """The keyword arguments of `configure` for an injected manager or for no manager. `Settings` documents them."""

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
    """All settings. The names are those of `configure` and, in capitals, of the environment variables."""

    url: str | None = dataclasses.field(default=None, repr=False)
    """The URL of the store. `None` means an SQLite file in the user's data folder."""
    url_file: str | None = dataclasses.field(default=None, repr=False)
    """A file that contains the URL and nothing else, as orchestrators mount secrets."""
    require_url: bool = False
    """Whether a process without a configured store gets an error instead of the default."""
    namespace: str = DEFAULTS.namespace
    auto_setup: bool = DEFAULTS.auto_setup
    timeout_seconds: float = DEFAULTS.timeout_seconds
    """The timeout of writes and of the read model."""
    lookup_timeout_seconds: float = 2.0
    """The timeout of the three lookups, including connecting and queueing."""
    max_connections: int = DEFAULTS.max_connections
    maximum_payload_bytes: int = DEFAULTS.maximum_payload_bytes
    breaker: bool = True
    """Whether lookups fail at once after the store has failed five times in a row."""
    max_running_tasks: int = 32
    """How many synchronous functions run at a time. The rest remain pending."""
    async_threads: int = 32
    """How many threads serve asynchronous calls."""
    handle_sigterm: bool = True
    """Whether SIGTERM ends running work as `interrupted` before it ends the process."""

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
STORE_SETTINGS: Final = ("url", "url_file")
"""The two settings that choose the store. A source may contain only one of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and the source of the store's setting."""

    settings: Settings
    store_source: str | None
    """The source of `url` or `url_file`, in words. `None` if no source has one."""


def load_settings(given: Mapping[str, Any]) -> Loaded:
    """Merge the arguments of `configure`, the environment and the files. Raises `ConfigurationError`."""
    check_names(SETTING_NAMES)
    values: dict[str, Any] = {}
    store_source: str | None = None
    # In rising precedence. Each source has its values and a template that names the source of one value.
    sources: list[tuple[Mapping[str, Any], str]] = [
        *((read_file(name, KINDS), f"{name} in the working folder") for name in FILES),
        (read_environment(KINDS), "the environment variable {variable}"),
        (given, "configure({name}=…)"),
    ]
    for found, template in sources:
        here = [name for name in STORE_SETTINGS if name in found]
        if len(here) > 1:
            both = " and ".join(template.format(name=name, variable=variable_of(name)) for name in here)
            raise ConfigurationError(f"url and url_file are both given ({both}): set only one of them")
        if here:
            values = {name: value for name, value in values.items() if name not in STORE_SETTINGS}
            store_source = template.format(name=here[0], variable=variable_of(here[0]))
        values |= found
    return Loaded(Settings(**values), store_source)


def variable_of(name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """The URL of the store, the source of the URL in words, and whether it is the default store."""

    url: str = dataclasses.field(repr=False)
    source: str
    is_default: bool = False

    def options(self) -> dict[str, Any]:
        return {"private": True} if self.is_default else {}


def find_store(loaded: Loaded) -> Store:
    """Return the store that the settings name, or the default store. Raises `ConfigurationError`."""
    settings = loaded.settings
    if loaded.store_source is None:
        if settings.require_url:
            raise ConfigurationError(
                f"no store is configured, and require_url is set: set {variable_of('url')} or {variable_of('url_file')}"
            )
        from module_sdk.facade.default_store import default_url  # noqa: PLC0415  # only the default store needs it

        return Store(default_url(), "the default: an SQLite file in the user's data folder", is_default=True)
    if settings.url is None:
        from module_sdk.facade.url_file import read_url_file  # noqa: PLC0415  # only needed if it is set

        url, shown = read_url_file(settings.url_file)
        return Store(url, f"the file {shown}, named by {loaded.store_source}")
    return Store(settings.url, loaded.store_source)
