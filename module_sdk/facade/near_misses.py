"""Names that are nearly those of our settings: an error that says the right one, where silence would choose a store.

Loaded only where such a name was found.
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
# What the orchestrator sets in each container for a service of this name, and the older links of Docker.
OF_A_SERVICE: Final = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?$|_NAME$"
)
OF_OTHERS: Final = ("MODULE_SDK_TEST_", "MODULE_SDK_CONTRACT_", "MODULE_SDK_TRACE")
"""The variables of our tests, of the contract suite and of the examples."""
NEARLY: Final = 0.9
"""How like one of our variables a name must be that does not begin as they do, and is hardly longer or shorter."""
MAXIMUM_LETTERS_APART: Final = 2
CLOSE: Final = 0.75
CLOSE_IF_SHORT: Final = 0.6
SHORT: Final = 4
EXTENSIONS: Final = ("toml", "tml", "tom")
# A name that is made of these, or of an installed scheme, and ends in one of the second line, is meant for the URL.
GUESSED_WORDS: Final = frozenset(
    ("tasks", "task", "database", "db", "store", "storage", "backend", "state", "server", "connection", "main")
)
GUESSED_ENDS: Final = frozenset(
    ("url", "uri", "dsn", "database", "db", "store", "storage", "backend", "connection", "string")
)
PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


# --- The environment ------------------------------------------------------------------------------------------------


def check_environment(suspects: Iterable[str], settings: Collection[str]) -> None:
    """Look at variables whose names may be meant for us.

    Raises `ConfigurationError` for a name that is close to one of ours, a usual guess, or a name with our prefix whose
    value is a store's URL. Other names with our prefix are one warning of the process.
    """
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in settings}
    unknown = []
    for name in sorted(suspects):
        if name in known or name.startswith(OF_OTHERS):
            continue
        plain = re.sub(r"[^A-Z0-9]+", "_", name.upper())
        match = PREFIX.match(plain)
        if match is not None and OF_A_SERVICE.search(plain):
            continue
        meant = meant_setting(plain, match, settings, os.environ.get(name, ""))
        if meant is not None:
            raise ConfigurationError(
                f"the environment variable {name} is none of module-sdk's: did you mean "
                f"{ENVIRONMENT_PREFIX}{meant.upper()}?"
            )
        if match is not None:
            unknown.append(name)
    if unknown:
        warn_of(tuple(unknown))


def meant_setting(plain: str, match: re.Match[str] | None, settings: Collection[str], value: str) -> str | None:
    if match is None:
        full = {f"{ENVIRONMENT_PREFIX}{name.upper()}": name for name in settings}
        close = difflib.get_close_matches(plain, full, n=1, cutoff=NEARLY)
        return full[close[0]] if close and abs(len(close[0]) - len(plain)) <= MAXIMUM_LETTERS_APART else None
    return closest(plain[match.end() :].strip("_").lower(), settings) or ("url" if is_store_url(value) else None)


@functools.cache
def warn_of(names: tuple[str, ...]) -> None:
    logger.warning(
        "environment variables that begin like those of module-sdk and are none of them are passed over: %s",
        ", ".join(names),
    )


def is_store_url(value: str) -> bool:
    scheme, mark, _ = value.partition("://")
    return bool(mark) and scheme.partition("+")[0].lower() in schemes()


@functools.cache
def schemes() -> frozenset[str]:
    from module_sdk.plugins.registry import registry  # noqa: PLC0415  # the registry needs the settings' modules

    return frozenset(registry.schemes())


# --- Names of settings ----------------------------------------------------------------------------------------------


def closest(name: str, settings: Collection[str]) -> str | None:
    """The setting that a name is meant for: one that is written nearly so, has all its words, or a usual guess."""
    if not name:
        return None
    close = difflib.get_close_matches(
        name, sorted(settings), n=1, cutoff=CLOSE_IF_SHORT if len(name) <= SHORT else CLOSE
    )
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
    """Whether the words are a usual name for the place of a store, such as `database_url`."""

    def is_kind(word: str) -> bool:
        return word in GUESSED_WORDS or any(scheme.startswith(word) for scheme in schemes())

    return words[-1] in GUESSED_ENDS and all(is_kind(word) or word in GUESSED_ENDS for word in words)


def setting_meant(name: str, settings: Collection[str]) -> str | None:
    """`closest`, for a name in any spelling, with our prefix or without."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper())
    match = PREFIX.match(plain)
    return closest(plain[match.end() if match else 0 :].strip("_").lower(), settings)


def unknown_name(name: str, settings: Collection[str]) -> str:
    """Words for an error: the name, unless it is some text that got there by mistake, and the one that is meant."""
    meant = setting_meant(name, settings)
    shown = repr(name) if PLAIN.fullmatch(name) else "a name"
    return f"{shown} is no setting" + (f": did you mean {meant!r}?" if meant else "")


def check_options(options: Iterable[str], settings: Collection[str], *, all_of_them: bool) -> None:
    """Raise `ConfigurationError` for the first option that is written nearly as a setting, or for any there is."""
    for name in options:
        if all_of_them or difflib.get_close_matches(name.lower(), sorted(settings), n=1, cutoff=NEARLY - 0.05):
            raise ConfigurationError(f"unknown option: {unknown_name(name, settings)}")


def option_meant(name: str, known: Collection[str]) -> str:
    """Words for the error of a backend that does not know an option; none without a guess."""
    from module_sdk.facade.settings import SETTING_NAMES  # noqa: PLC0415  # the settings need the options' module

    if name in SETTING_NAMES:
        return "; it is a setting of module_sdk.configure(…)"
    meant = setting_meant(name, {*SETTING_NAMES, *known})
    return f"; did you mean {meant!r}?" if meant else ""


# --- Files ----------------------------------------------------------------------------------------------------------


def check_keys(where: str, table: Mapping[str, Any], settings: Collection[str]) -> None:
    """Raise `ConfigurationError` for the first key of our table that is no setting."""
    for key, value in table.items():
        if key in settings:
            continue
        if isinstance(value, dict):
            raise ConfigurationError(
                f"{where} has a table among our settings, which have none: write them one level higher"
            )
        raise ConfigurationError(f"{where}: {unknown_name(key, settings)}")


def check_tables(file: str, path: tuple[str, ...], document: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for a table of a file that is nearly ours, such as `[tool.module_sdk]`."""
    right = f"[{'.'.join(path)}]" if path else "the top of the file, below no table"
    tool = document.get("tool")
    tables: dict[tuple[str, ...], Any] = {(key,): value for key, value in document.items()}
    tables |= {("tool", key): value for key, value in tool.items()} if isinstance(tool, dict) else {}
    for table, content in tables.items():
        if table != path and isinstance(content, dict) and is_like_ours(table[-1]):
            raise ConfigurationError(
                f"[{'.'.join(table)}] in {file} of the working folder is not read: the settings belong at {right}"
            )


def is_like_ours(name: str) -> bool:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return FILE_STEM.fullmatch(plain) is not None or bool(
        difflib.get_close_matches(plain, ("module_sdk", "module_sdk_tasks"), n=1, cutoff=NEARLY - 0.05)
    )


def check_files(names: Iterable[str]) -> None:
    """Raise `ConfigurationError` for a file of the working folder that is called nearly as ours."""
    for name in sorted(names):
        stem, _, extension = name.rpartition(".")
        is_named_so = extension.lower() in EXTENSIONS and is_like_ours(stem)
        if is_named_so and name not in FILES and Path(name).is_file():
            raise ConfigurationError(f"{name} in the working folder is not read: its name must be module_sdk.toml")
