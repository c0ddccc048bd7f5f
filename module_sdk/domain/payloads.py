"""Checkpoints, results, confirmations and arguments as JSON text (DESIGN.md, "Maximums"; clauses ROW-07, BAD-01).

Python's own `json` on purpose: faster libraries lose integers beyond 64 bits.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from module_sdk.errors import PayloadError

DEFAULT_MAXIMUM_BYTES: Final = 1_048_576
HIGHEST_MAXIMUM_BYTES: Final = 4_194_304
MAXIMUM_DEPTH: Final = 100

# Kept, since `json.dumps` with settings of one's own makes an encoder for each text.
encoder: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))

EXACT_TEXT: Final = frozenset((str,))
EXACT_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
PAYLOAD_FIELDS: Final = ("checkpoint", "result", "confirmation", "arguments")


def is_plain(value: object, field: str, maximum: int) -> bool:
    """Whether `json` writes all of it without a change: text as keys, no other types, not too deep.

    Walks level by level, so that neither depth nor a cycle exhausts the stack. Raises `PayloadError` for more than
    `maximum` items in all, which cannot fit; a structure that contains itself, beside others, has as many.
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
    """Whether it is a dict or a list whose members are not even subclasses of what JSON has. One step of C each."""
    if type(item) is dict:
        return EXACT_SCALARS.issuperset(map(type, item.values()))
    return type(item) is list and EXACT_SCALARS.issuperset(map(type, item))


def is_exact_json(value: object) -> bool:
    """Whether reading the JSON of the value yields the same types again; the value is known to be JSON."""
    left: list[Any] = [value]
    while left:
        item = left.pop()
        if type(item) is dict:
            if not EXACT_TEXT.issuperset(map(type, item)):
                return False
            if not has_only_scalars(item):
                left.extend(item.values())
        elif type(item) is list:
            if not has_only_scalars(item):
                left.extend(item)
        elif type(item) not in EXACT_SCALARS:
            return False
    return True


def too_large(field: str, maximum: int) -> PayloadError:
    return PayloadError(f"{field} must be at most {maximum:,} bytes of JSON", field=field, maximum=maximum)


def encode_payload(value: object, field: str, maximum: int = DEFAULT_MAXIMUM_BYTES) -> str | None:
    """The JSON text that is stored, pure ASCII; `None` for `None`: at top level `None` and absent are one.

    Dates, UUIDs, Decimals, enums, sets, dataclasses, pydantic's models and the like become what pydantic writes.
    Raises `PayloadError` that names the field, the path to what is no JSON, and for size and depth the maximum.
    """
    if value is None:
        return None
    text = encode_plain(value, field, maximum)
    if text is None:
        # Loaded here: plain JSON, which nearly every payload is, must not pay for it.
        from module_sdk.domain.conversion import converted  # noqa: PLC0415

        text = encoder.encode(converted(value, field, maximum))
    if len(text) > maximum:
        raise too_large(field, maximum)
    return text


def encode_plain(value: object, field: str, maximum: int) -> str | None:
    """The text of plain JSON; `None` for what has to be converted, or refused with its path."""
    try:
        return encoder.encode(value) if is_plain(value, field, maximum) else None
    except PayloadError:
        raise
    except Exception:  # another thread may be changing it, and a subclass of dict may do anything
        return None


def plain_payload(value: Any, field: str, maximum: int = DEFAULT_MAXIMUM_BYTES) -> Any:
    """The value itself if it is plain JSON, else the JSON that is written for it. Raises `PayloadError`."""
    is_written_as_it_is = encode_plain(value, field, maximum) is not None
    return value if is_written_as_it_is else decode_payload(encode_payload(value, field, maximum))


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
