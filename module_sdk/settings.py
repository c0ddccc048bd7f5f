"""Settings and where they come from (DESIGN.md, "Configuration").

Precedence, for each setting by itself: `configure(…)`, the environment (`MODULE_SDK_TASKS_URL`, …), `module_sdk.toml`
in the working folder, `[tool.module-sdk]` in its `pyproject.toml`, the default.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from module_sdk.errors import ConfigurationError
from module_sdk.options import DEFAULTS, check_seconds, check_whole

ENVIRONMENT_PREFIX: Final = "MODULE_SDK_TASKS_"
FILES: Final[dict[str, tuple[str, ...]]] = {"pyproject.toml": ("tool", "module-sdk"), "module_sdk.toml": ()}
"""Those that may hold settings, the weaker first, each with the table that is ours."""
MOST_THREADS: Final = 10_000
# Given to the manager as they are, when they are set.
MANAGER_SETTINGS: Final = ("namespace", "auto_setup", "timeout_seconds", "max_connections", "maximum_payload_bytes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a platform team may set. The names are those of `configure` and, in capitals, of the environment."""

    url: str | None = dataclasses.field(default=None, repr=False)
    """The store. `None`: an SQLite file in the user's data folder."""
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
    """Threads that serve the async twins."""
    handle_sigterm: bool = True
    """Whether SIGTERM ends running work as `interrupted` before the process dies of it."""

    def __post_init__(self) -> None:
        check_seconds("lookup_timeout_seconds", self.lookup_timeout_seconds)
        check_whole("max_running_tasks", self.max_running_tasks, most=MOST_THREADS)
        check_whole("async_threads", self.async_threads, most=MOST_THREADS)
        for name in ("breaker", "handle_sigterm"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} must be true or false")

    def manager_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in MANAGER_SETTINGS}


SETTING_NAMES: Final = frozenset(field.name for field in dataclasses.fields(Settings))


def load_settings(given: Mapping[str, Any]) -> tuple[Settings, str]:
    """The settings in force and, in words, where the URL came from. Raises `ConfigurationError`."""
    # A file that says nothing to us, as most projects' pyproject.toml, need not be read again by the reader below.
    tables = {name: table for name, path in FILES.items() if (table := read_table(name, path))}
    try:
        settings = dataclasses.replace(read_settings(list(tables)), **given)
    except ConfigurationError:
        raise
    except Exception as error:
        # The message alone: a chained cause could print the values of the file, the URL's password among them.
        problems = [str(each) for each in getattr(error, "exceptions", [error])]
        raise ConfigurationError(f"the settings cannot be read: {'; '.join(problems)}") from None
    if "url" in given:
        return settings, "configure(url=…)"
    if f"{ENVIRONMENT_PREFIX}URL" in os.environ:
        return settings, f"the environment variable {ENVIRONMENT_PREFIX}URL"
    for name in reversed(tables):
        if "url" in tables[name]:
            return settings, f"{name} in the working folder"
    return dataclasses.replace(settings, url=default_url()), "the default: an SQLite file in the user's data folder"


def read_settings(files: list[str]) -> Settings:
    """What these files and the environment say."""
    if not files and not any(name.startswith(ENVIRONMENT_PREFIX) for name in os.environ):
        # With nothing to read, a new process need not load the reader, which takes longer than its first lookup.
        return Settings()
    import typed_settings  # noqa: PLC0415  # the same

    formats: dict[str, typed_settings.loaders.FileFormat] = {
        name: typed_settings.TomlFormat(".".join(FILES[name]) or None) for name in files
    }
    loader = typed_settings.FileLoader(formats, files)
    return typed_settings.load_settings(Settings, [loader, typed_settings.EnvLoader(ENVIRONMENT_PREFIX)])


def read_table(name: str, path: tuple[str, ...]) -> dict[str, Any]:
    """Our table of a file in the working folder, empty without one. Raises `ConfigurationError` naming the file."""
    if not Path(name).is_file():
        return {}
    import tomllib  # noqa: PLC0415  # hardly ever needed

    try:
        table: Any = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{name} in the working folder cannot be read: {error}") from None
    for key in path:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    return table if isinstance(table, dict) else {}


def default_url() -> str:
    """The embedded store; its folder is made if need be. Raises `ConfigurationError` if it cannot be."""
    import platformdirs  # noqa: PLC0415

    folder = Path(platformdirs.user_data_dir("module-sdk", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the data folder {folder} cannot be made: {error}") from error
    return f"sqlite:///{folder / 'tasks.db'}"
