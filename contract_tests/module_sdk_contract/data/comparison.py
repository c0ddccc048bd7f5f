"""Type-strict comparison: `True` is not `1`, `1` is not `1.0`, and the order of a mapping's keys counts."""

from __future__ import annotations

import marshal
import struct
from typing import Any


def difference(expected: object, actual: object, path: str = "") -> str | None:
    """Where the two first differ, in words; `None` if they are the same.

    Lists compare as lists whatever their subclass, since a lookup's result is one; every other type must be equal.
    """
    if isinstance(expected, list) and isinstance(actual, list):
        return None if same_bytes(expected, actual) else sequence_difference(expected, actual, path)
    if type(expected) is not type(actual):
        return f"{place(path)}expected {typed(expected)}, found {typed(actual)}"
    if isinstance(expected, tuple) and isinstance(actual, tuple):
        return sequence_difference(expected, actual, path)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return mapping_difference(expected, actual, path)
    if isinstance(expected, float) and isinstance(actual, float):
        same = struct.pack(">d", expected) == struct.pack(">d", actual)
    else:
        same = expected == actual
    return None if same else f"{place(path)}expected {typed(expected)}, found {typed(actual)}"


def same_bytes(expected: list[Any], actual: list[Any]) -> bool:
    """Whether the two are the same for certain: thousands of rows are told so in a twentieth of the time.

    Version 0 of the format has neither references nor interned texts, and no type but Python's own.
    """
    try:
        return marshal.dumps(list(expected), 0) == marshal.dumps(list(actual), 0)
    except ValueError:
        return False


def sequence_difference(
    expected: list[Any] | tuple[Any, ...], actual: list[Any] | tuple[Any, ...], path: str
) -> str | None:
    for index, (left, right) in enumerate(zip(expected, actual, strict=False)):
        found = difference(left, right, f"{path}[{index}]")
        if found:
            return found
    if len(expected) != len(actual):
        return f"{place(path)}expected {len(expected)} items, found {len(actual)}"
    return None


def mapping_difference(expected: dict[Any, Any], actual: dict[Any, Any], path: str) -> str | None:
    if [(key, type(key)) for key in expected] != [(key, type(key)) for key in actual]:
        return f"{place(path)}expected the keys {list(expected)!r}, found {list(actual)!r}"
    for key, value in expected.items():
        found = difference(value, actual[key], f"{path}[{key!r}]")
        if found:
            return found
    return None


def place(path: str) -> str:
    return f"at {path}: " if path else ""


def typed(value: object) -> str:
    return f"{shortened(value)} ({type(value).__name__})"


def shortened(value: object, most: int = 300) -> str:
    """The `ascii()` of a value, so that look-alike characters show, cut in its middle."""
    text = ascii(value)
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
