"""The sources of settings: the environment, and two files in the working folder.

No error may repeat a value, a line or a parser's message, because they may contain a URL with its password (DISC-03).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from module_sdk.errors import ConfigurationError

ENVIRONMENT_PREFIX: Final = "MODULE_SDK_TASKS_"
FILES: Final[dict[str, tuple[str, ...]]] = {"pyproject.toml": ("tool", "module-sdk"), "module_sdk.toml": ()}
"""The files that may contain settings, in rising precedence, each with the path of our table."""
WORDS: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
KINDS: Final[dict[type, str]] = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
# How many file names of the working folder are checked: the start of a process must not wait for a huge folder.
MAXIMUM_FILES: Final = 1_000
POSITION: Final = re.compile(r"line \d+, column \d+")


def read_environment(kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the settings that environment variables contain. Raises `ConfigurationError` naming the variable."""
    found = {}
    for name, kind in kinds.items():
        variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
        text = os.environ.get(variable)
        if text is not None:
            found[name] = converted(variable, text, kind)
    return found


def converted(variable: str, text: str, kind: type) -> Any:
    if not text.strip():
        raise ConfigurationError(f"the environment variable {variable} is empty: give it a value, or unset it")
    value: Any = None
    if kind is str:
        return text
    if kind is bool:
        value = WORDS.get(text.strip().lower())
    else:
        with contextlib.suppress(ValueError):
            value = kind(text)
    if value is None:
        raise ConfigurationError(f"the environment variable {variable} must be {KINDS[kind]}")
    return value


def read_file(name: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the settings of a file in the working folder, or `{}` if there is none.

    Raises `ConfigurationError` naming the file.
    """
    document = parse(name)
    if not document:
        return {}
    where = f"{name} in the working folder"
    path = FILES[name]
    tool = document.get("tool")
    below = [key for key in tool if ("tool", key) != path] if isinstance(tool, dict) else []
    if any("sdk" in key.lower() or "modul" in key.lower() for key in (*document, *below)):
        from module_sdk.facade import near_misses  # noqa: PLC0415  # hardly ever needed

        near_misses.check_tables(name, path, document)
    table: Any = document
    for key in path:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"{'.'.join(path)} in {where} must be a table")
    if not table.keys() <= kinds.keys():
        from module_sdk.facade import near_misses  # noqa: PLC0415  # hardly ever needed

        near_misses.check_keys(where, table, kinds)
    for key, value in table.items():
        kind = kinds[key]
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise ConfigurationError(f"{key} in {where} must be {KINDS[kind]}")
    return table


@functools.lru_cache(maxsize=2)
def document_of(text: str) -> dict[str, Any]:
    """Return the parsed text. It is cached for programs that configure often, so callers must not change it."""
    import tomllib  # noqa: PLC0415  # hardly ever needed

    return tomllib.loads(text)


def parse(name: str) -> dict[str, Any]:
    if not Path(name).is_file():
        return {}
    try:
        return document_of(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
    except UnicodeDecodeError as error:
        reason = f"its byte {error.start} is not UTF-8 (utf-8)"
    except ValueError as error:
        position = POSITION.search(str(error))
        reason = f"it is not valid TOML at {position[0] if position else 'its end'}"
    # Raised outside the handlers. Otherwise its context would be the parser's error, which contains the whole text.
    raise ConfigurationError(f"{name} in the working folder cannot be read: {reason}")


def check_names(settings: Collection[str]) -> None:
    """Raise `ConfigurationError` for a variable, or a file of the working folder, whose name is similar to ours."""
    variables = [name for name in os.environ if name[:1] in "Mm" and is_suspect(name, settings)]
    try:
        with os.scandir() as entries:
            names = [entry.name for entry in itertools.islice(entries, MAXIMUM_FILES)]
    except OSError:
        # The working folder was removed or is not readable, so no settings are read from it either.
        names = []
    files = [name for name in names if "sdk" in name.lower() and name not in FILES]
    if variables or files:
        from module_sdk.facade import near_misses  # noqa: PLC0415  # hardly ever needed

        near_misses.check_environment(variables, settings)
        near_misses.check_files(files)


def is_suspect(name: str, settings: Collection[str]) -> bool:
    upper = name.upper()
    is_ours = name == upper and name.removeprefix(ENVIRONMENT_PREFIX).lower() in settings
    return ("SDK" in upper or "TASK" in upper) and not is_ours
