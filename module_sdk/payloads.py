"""Checkpoints, results, confirmations and arguments as JSON text (DESIGN.md, "Maximums"; clauses ROW-07, BAD-01).

Python's own `json` on purpose: faster libraries lose integers beyond 64 bits.
"""

from __future__ import annotations

import json
import math
from typing import Final

from module_sdk.errors import PayloadError

DEFAULT_MAXIMUM_BYTES: Final = 1_048_576
HIGHEST_MAXIMUM_BYTES: Final = 4_194_304
MAXIMUM_DEPTH: Final = 100

# Kept, since `json.dumps` with settings of one's own makes an encoder for each text.
encoder: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))

PAYLOAD_FIELDS: Final = ("checkpoint", "result", "confirmation", "arguments")


def check_shape(value: object, field: str, maximum: int) -> None:
    """Refuse what `json` would change or cannot write: keys that are not text, depth, foreign types.

    Walks level by level, so that neither depth nor a cycle exhausts the stack; more than `maximum` items in all (a
    structure that holds itself, beside others) cannot fit either.
    """
    level: list[object] = [value]
    count = 0
    for depth in range(MAXIMUM_DEPTH + 1):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, dict | list | tuple):
                if depth == MAXIMUM_DEPTH:
                    message = f"{field} must be nested at most {MAXIMUM_DEPTH} deep"
                    raise PayloadError(message, field=field, maximum=MAXIMUM_DEPTH)
                deeper.extend(item.values() if isinstance(item, dict) else item)
                check_keys(item, field)
            elif item is not None and not isinstance(item, str | int | float):
                raise PayloadError(f"{field} must be JSON: {type(item).__name__} is not", field=field)
            if count + len(deeper) > maximum:
                raise too_large(field, maximum)
        if not deeper:
            return
        level = deeper
        count += len(deeper)


def check_keys(item: object, field: str) -> None:
    for key in item if isinstance(item, dict) else ():
        if not isinstance(key, str):
            raise PayloadError(f"{field} must have text keys only, not {type(key).__name__}", field=field)


def too_large(field: str, maximum: int) -> PayloadError:
    return PayloadError(f"{field} must be at most {maximum:,} bytes of JSON", field=field, maximum=maximum)


def encode_payload(value: object, field: str, maximum: int = DEFAULT_MAXIMUM_BYTES) -> str | None:
    """The JSON text that is stored, pure ASCII; `None` for `None`: at top level `None` and absent are one.

    Raises `PayloadError` that names the field and, for size and depth, the maximum.
    """
    if value is None:
        return None
    try:
        check_shape(value, field, maximum)
        text = encoder.encode(value)
    except PayloadError:
        raise
    except Exception as error:  # another thread may be changing it, and a subclass of dict may do anything
        raise PayloadError(f"{field} must be JSON: {type(error).__name__}: {error}", field=field) from error
    if len(text) > maximum:
        raise too_large(field, maximum)
    return text


def decode_payload(text: str | None) -> object:
    """The value of a stored text; raises `TypeError` or `ValueError` for what is not JSON, as in a corrupt record."""
    if text is None:
        return None
    if type(text) is not str:
        raise TypeError(f"a payload must be text, not {type(text).__name__}")
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError(f"a payload must be nested at most {MAXIMUM_DEPTH} deep") from None


def finite(text: str) -> float:
    """A number of JSON. Python's reader also takes NaN, Infinity and 1e999 for numbers, which are not JSON."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.20} is not a finite number")
    return number


decoder: Final = json.JSONDecoder(parse_float=finite, parse_constant=finite)
