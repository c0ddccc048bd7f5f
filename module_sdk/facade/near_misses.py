"""Misspelt names of settings. They raise an error that suggests the right name; ignored, they would choose a store.

Imported only when a suspicious name was found.
"""

from __future__ import annotations

import difflib
import functools
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from module_sdk.errors import ConfigurationError
from module_sdk.facade.sources import ENVIRONMENT_PREFIX, FILES

logger = logging.getLogger("module_sdk.tasks")

PREFIX: Final = re.compile(r"MODULES?_?SDK_*(?:TASKS?_*)?")
FILE_STEM: Final = re.compile(r"\.?module_?sdk(?:_?tasks)?")
# Variables that an orchestrator sets in each container for a service of this name, and those of Docker's old `--link`.
SERVICE_VARIABLE: Final = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?$|_NAME$"
)
OTHER_PREFIXES: Final = ("MODULE_SDK_TEST_", "MODULE_SDK_CONTRACT_", "MODULE_SDK_TRACE")
"""The prefixes of the variables of our tests, of the contract suite and of the examples."""
SIMILAR_NAME: Final = 0.9
"""The similarity from which a name without our prefix counts as one of our variables misspelt."""
MAXIMUM_LENGTH_DIFFERENCE: Final = 2
SIMILAR_SETTING: Final = 0.75
SIMILAR_SHORT_SETTING: Final = 0.6
MAXIMUM_SHORT_LENGTH: Final = 4
EXTENSIONS: Final = ("toml", "tml", "tom")
# A name of these words, or of an installed scheme, that ends in one of `GUESSED_ENDS` is meant for the URL.
GUESSED_WORDS: Final = frozenset(
    ("tasks", "task", "database", "db", "store", "storage", "backend", "state", "server", "connection", "main")
)
GUESSED_ENDS: Final = frozenset(
    ("url", "uri", "dsn", "database", "db", "store", "storage", "backend", "connection", "string")
)
PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


# --- The environment ------------------------------------------------------------------------------------------------


def check_environment(suspects: Iterable[str], settings: Collection[str]) -> None:
    """Check variables whose names may be meant for module-sdk.

    Raises `ConfigurationError` for a name that is similar to one of ours, for a usual guess, and for a name with our
    prefix whose value is the URL of a store. Logs one warning per process that lists all other names with our prefix.
    """
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in settings}
    unknown = []
    for name in sorted(suspects):
        if name in known or name.startswith(OTHER_PREFIXES):
            continue
        plain = re.sub(r"[^A-Z0-9]+", "_", name.upper())
        match = PREFIX.match(plain)
        if match is not None and SERVICE_VARIABLE.search(plain):
            continue
        meant = meant_setting(plain, match, settings, os.environ.get(name, ""))
        if meant is not None:
            raise ConfigurationError(
                f"the environment variable {name} is not a setting of module-sdk: did you mean "
                f"{ENVIRONMENT_PREFIX}{meant.upper()}?"
            )
        if match is not None:
            unknown.append(name)
    if unknown:
        warn_of(tuple(unknown))


def meant_setting(plain: str, match: re.Match[str] | None, settings: Collection[str], value: str) -> str | None:
    if match is None:
        full = {f"{ENVIRONMENT_PREFIX}{name.upper()}": name for name in settings}
        close = difflib.get_close_matches(plain, full, n=1, cutoff=SIMILAR_NAME)
        return full[close[0]] if close and abs(len(close[0]) - len(plain)) <= MAXIMUM_LENGTH_DIFFERENCE else None
    return closest(plain[match.end() :].strip("_").lower(), settings) or ("url" if is_store_url(value) else None)


@functools.cache
def warn_of(names: tuple[str, ...]) -> None:
    logger.warning(
        "environment variables with the prefix of module-sdk that are not its settings are ignored: %s",
        ", ".join(names),
    )


def is_store_url(value: str) -> bool:
    scheme, mark, _ = value.partition("://")
    return bool(mark) and scheme.partition("+")[0].lower() in schemes()


@functools.cache
def schemes() -> frozenset[str]:
    from module_sdk.plugins.registry import registry  # noqa: PLC0415  # only needed for a guess

    return frozenset(registry.schemes())


# --- Names of settings ----------------------------------------------------------------------------------------------


def closest(name: str, settings: Collection[str]) -> str | None:
    """Return the setting that a name is meant for, or `None`.

    It is a setting with a similar name, one that contains all words of the name, or the URL if the name is a usual
    guess for it.
    """
    if not name:
        return None
    cutoff = SIMILAR_SHORT_SETTING if len(name) <= MAXIMUM_SHORT_LENGTH else SIMILAR_SETTING
    close = difflib.get_close_matches(name, sorted(settings), n=1, cutoff=cutoff)
    if close:
        return close[0]
    words = set(name.split("_"))
    wider = [setting for setting in settings if words <= set(setting.split("_"))]
    if wider:
        return max(wider, key=lambda setting: (difflib.SequenceMatcher(None, name, setting).ratio(), setting))
    for suffix, setting in (("_file", "url_file"), ("", "url")):
        if name.endswith(suffix) and is_guess(name.removesuffix(suffix).split("_")):
            return setting
    return None


def is_guess(words: list[str]) -> bool:
    """Return whether the words are a usual name for the URL of a store, such as `database_url`."""

    def is_kind(word: str) -> bool:
        return word in GUESSED_WORDS or any(scheme.startswith(word) for scheme in schemes())

    return words[-1] in GUESSED_ENDS and all(is_kind(word) or word in GUESSED_ENDS for word in words)


def setting_meant(name: str, settings: Collection[str]) -> str | None:
    """Do what `closest` does, for a name in any case and with any separators, with or without our prefix."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper())
    match = PREFIX.match(plain)
    return closest(plain[match.end() if match else 0 :].strip("_").lower(), settings)


def unknown_name(name: str, settings: Collection[str]) -> str:
    """Return an error text with the unknown name and the name that is meant.

    The unknown name is left out unless it looks like a name: it may be a secret that was put there by mistake.
    """
    meant = setting_meant(name, settings)
    shown = repr(name) if PLAIN_NAME.fullmatch(name) else "a name"
    return f"{shown} is not a setting" + (f": did you mean {meant!r}?" if meant else "")


def check_options(options: Iterable[str], settings: Collection[str], *, refuse_all: bool) -> None:
    """Raise `ConfigurationError` for an option that is similar to a setting or, with `refuse_all`, for any option."""
    for name in options:
        if refuse_all or difflib.get_close_matches(name.lower(), sorted(settings), n=1, cutoff=SIMILAR_NAME - 0.05):
            raise ConfigurationError(f"unknown option: {unknown_name(name, settings)}")


def option_meant(name: str, known: Collection[str]) -> str:
    """Return a suggestion for the error of a backend that does not know an option, or `""` without one."""
    from module_sdk.facade.settings import SETTING_NAMES  # noqa: PLC0415  # only needed for this error

    if name in SETTING_NAMES:
        return "; it is a setting of module_sdk.configure(…)"
    meant = setting_meant(name, {*SETTING_NAMES, *known})
    return f"; did you mean {meant!r}?" if meant else ""


# --- Files ----------------------------------------------------------------------------------------------------------


def check_keys(where: str, table: Mapping[str, Any], settings: Collection[str]) -> None:
    """Raise `ConfigurationError` for the first key of our table that is not a setting."""
    for key, value in table.items():
        if key in settings:
            continue
        if isinstance(value, dict):
            raise ConfigurationError(
                f"{where} has a table among the settings, which have no tables: write its keys one level higher"
            )
        raise ConfigurationError(f"{where}: {unknown_name(key, settings)}")


def check_tables(file: str, path: tuple[str, ...], document: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for a table whose name is similar to ours, such as `[tool.module_sdk]`."""
    right = f"[{'.'.join(path)}]" if path else "the top of the file, before any table"
    tool = document.get("tool")
    tables: dict[tuple[str, ...], Any] = {(key,): value for key, value in document.items()}
    tables |= {("tool", key): value for key, value in tool.items()} if isinstance(tool, dict) else {}
    for table, content in tables.items():
        if table != path and isinstance(content, dict) and is_like_ours(table[-1]):
            raise ConfigurationError(
                f"[{'.'.join(table)}] in {file} of the working folder is not read: put the settings at {right}"
            )


def is_like_ours(name: str) -> bool:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return FILE_STEM.fullmatch(plain) is not None or bool(
        difflib.get_close_matches(plain, ("module_sdk", "module_sdk_tasks"), n=1, cutoff=SIMILAR_NAME - 0.05)
    )


def check_files(names: Iterable[str]) -> None:
    """Raise `ConfigurationError` for a file of the working folder whose name is similar to ours."""
    for name in sorted(names):
        stem, _, extension = name.rpartition(".")
        is_similar = extension.lower() in EXTENSIONS and is_like_ours(stem)
        if is_similar and name not in FILES and Path(name).is_file():
            raise ConfigurationError(f"{name} in the working folder is not read: its name must be module_sdk.toml")
