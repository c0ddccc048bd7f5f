"""Checkpoints, results, confirmations and arguments as JSON text (clauses ROW-07, BAD-01).

This uses Python's own `json` on purpose: faster libraries lose integers beyond 64 bits.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from module_sdk.errors import PayloadError

DEFAULT_MAXIMUM_BYTES: Final = 1_048_576
HIGHEST_MAXIMUM_BYTES: Final = 4_194_304
MAXIMUM_DEPTH: Final = 100

# One shared encoder: `json.dumps` with non-default settings makes a new one per call.
encoder: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))

EXACT_TEXT: Final = frozenset((str,))
EXACT_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
PAYLOAD_FIELDS: Final = ("checkpoint", "result", "confirmation", "arguments")


def is_plain(value: object, field: str, maximum: int) -> bool:
    """Return whether `json` can write the value unchanged: text keys, JSON types only, and not nested too deeply.

    This walks level by level, so that neither depth nor a cycle exhausts the stack. It raises `PayloadError` for more
    than `maximum` items in all, since these cannot fit; a structure that contains itself may reach that number.
    """
    level: list[Any] = [value]
    count = 0
    for depth in range(MAXIMUM_DEPTH + 1):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict | list | tuple):
                if depth == MAXIMUM_DEPTH:
                    return False
                if isinstance(item, dict) and not has_text_keys(item):
                    return False
                if has_only_scalars(item):
                    count += len(item)
                else:
                    deeper.extend(item.values() if isinstance(item, dict) else item)
            elif item is not None and not isinstance(item, str | int | float):
                return False
            if count + len(deeper) > maximum:
                raise too_large(field, maximum)
        if not deeper:
            return True
        level = deeper
        count += len(deeper)
    return False


def has_text_keys(item: dict[Any, Any]) -> bool:
    return EXACT_TEXT.issuperset(map(type, item)) or all(isinstance(key, str) for key in item)


def has_only_scalars(item: Any) -> bool:
    """Return whether the item is a plain dict or list of scalars of exact JSON types. One C call checks all of them."""
    if type(item) is dict:
        return EXACT_SCALARS.issuperset(map(type, item.values()))
    return type(item) is list and EXACT_SCALARS.issuperset(map(type, item))


def is_exact_json(value: object) -> bool:
    """Return whether the JSON of the value, once decoded, has the same types. The value must be JSON."""
    remaining: list[Any] = [value]
    while remaining:
        item = remaining.pop()
        if type(item) is dict:
            if not EXACT_TEXT.issuperset(map(type, item)):
                return False
            if not has_only_scalars(item):
                remaining.extend(item.values())
        elif type(item) is list:
            if not has_only_scalars(item):
                remaining.extend(item)
        elif type(item) not in EXACT_SCALARS:
            return False
    return True


def too_large(field: str, maximum: int) -> PayloadError:
    return PayloadError(f"{field} must be at most {maximum:,} bytes of JSON", field=field, maximum=maximum)


def encode_payload(value: object, field: str, maximum: int = DEFAULT_MAXIMUM_BYTES) -> str | None:
    """Return the JSON text to store, in pure ASCII. `None` is returned for `None`, which means an absent payload.

    Dates, UUIDs, Decimals, enums, sets, dataclasses, pydantic models and the like are written as pydantic writes them.
    Raises a `PayloadError` that names the field and the path to the value that is not JSON. If the payload is too large
    or too deep, the error has the maximum.
    """
    if value is None:
        return None
    text = encode_plain(value, field, maximum)
    if text is None:
        # Imported here, because plain JSON, as nearly every payload is, does not need it.
        from module_sdk.domain.conversion import converted  # noqa: PLC0415

        text = encoder.encode(converted(value, field, maximum))
    if len(text) > maximum:
        raise too_large(field, maximum)
    return text


def encode_plain(value: object, field: str, maximum: int) -> str | None:
    """Return the text of plain JSON, or `None` for a value that must be converted or refused with its path."""
    try:
        return encoder.encode(value) if is_plain(value, field, maximum) else None
    except PayloadError:
        raise
    except Exception:  # another thread may be changing the value, and a subclass of dict may do anything
        return None


def plain_payload(value: Any, field: str, maximum: int = DEFAULT_MAXIMUM_BYTES) -> Any:
    """Return the value itself if it is plain JSON, else a copy converted to plain JSON. May raise `PayloadError`."""
    is_plain_json = encode_plain(value, field, maximum) is not None
    return value if is_plain_json else decode_payload(encode_payload(value, field, maximum))


def decode_payload(text: str | None) -> object:
    """Return the value of a stored text. Raise `TypeError` or `ValueError` if it is not JSON (a corrupt record)."""
    if text is None:
        return None
    if type(text) is not str:
        raise TypeError(f"a payload must be text, not {type(text).__name__}")
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError(f"a payload must be nested at most {MAXIMUM_DEPTH} deep") from None


def finite(text: str) -> float:
    """Return a JSON number. Raise `ValueError` for NaN, Infinity and 1e999, which only Python reads as numbers."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.20} is not a finite number")
    return number


decoder: Final = json.JSONDecoder(parse_float=finite, parse_constant=finite)
