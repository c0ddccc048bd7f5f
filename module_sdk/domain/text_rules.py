"""The texts and ids that a task may have, the same for every store: their maximums in bytes, and how they are checked.

The maximums of payloads are in `payloads.py`, and those of pages in `query.py`.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

import uuid_utils

from module_sdk.errors import InvalidInputError

MAXIMUM_IDENTIFIER_BYTES: Final = 255
MAXIMUM_KEY_BYTES: Final = 1_024
MAXIMUM_LABEL_BYTES: Final = 1_024
MAXIMUM_MODULE_BYTES: Final = 255
MAXIMUM_ERROR_BYTES: Final = 65_536
# An integer below this, as nearly every id is, is short enough without a check.
ORDINARY_INTEGERS: Final = 2**63
# A cache of this size is emptied, so that an endless stream of new users cannot fill the memory.
MAXIMUM_IDENTIFIERS: Final = 65_536

CANONICAL_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
# Translating each digit of a task id to `x` gives this text. It takes a quarter of the time of a regular expression.
TASK_ID_SHAPE: Final = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
TASK_ID_TABLE: Final = bytes.maketrans(b"0123456789abcdefx", b"xxxxxxxxxxxxxxxx?")
LAST_CODE_POINT: Final = 0x10FFFF
LAST_BEFORE_SURROGATES: Final = 0xD7FF
FIRST_AFTER_SURROGATES: Final = 0xE000

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "�"
UUIDS: Final = (uuid.UUID, uuid_utils.UUID)


def plain_text(value: object, field: str) -> str:
    """Return the text as an exact `str`. Raise `InvalidInputError` for any other type."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{field} must be text, not {type(value).__name__}", field=field)
    # A subclass (an enum member, a lazy translation) may override `__str__`.
    return value if type(value) is str else str.__str__(value)


def fits(text: str, maximum: int) -> bool:
    """Return whether a store can contain the text: no NUL, no lone surrogate, at most `maximum` bytes of UTF-8."""
    if text.isascii():  # as nearly every text is; takes a fifth of the time of the search
        return len(text) <= maximum and "\0" not in text
    return UNSTORABLE.search(text) is None and (len(text) * 4 <= maximum or len(text.encode()) <= maximum)


def check_text(value: object, field: str, maximum: int, *, minimum: int = 0) -> str:
    """Return the text if a task may have it. Otherwise raise an `InvalidInputError` that names the broken rule."""
    # Fast path for short ASCII strings; this runs five times per task.
    if type(value) is str and value.isascii() and minimum <= len(value) <= maximum and "\0" not in value:
        return value
    text = plain_text(value, field)
    if not fits(text, maximum):
        if UNSTORABLE.search(text):
            raise InvalidInputError(f"{field} must not contain NUL or a lone surrogate", field=field)
        raise InvalidInputError(f"{field} must be at most {maximum:,} bytes of UTF-8", field=field, maximum=maximum)
    if len(text) < minimum:
        raise InvalidInputError(f"{field} must not be empty", field=field)
    return text


def identifier_text(value: object, field: str) -> str:
    """Return the canonical text of an id, as it is stored. Raise `InvalidInputError` for a wrong type (SCOPE-04, 07).

    The text may still be too long or unstorable: the caller must check that with `fits`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        # Python refuses to format integers of thousands of digits in decimal. Their hexadecimal text is also too long.
        return int.__repr__(value) if value.bit_length() <= MAXIMUM_IDENTIFIER_BYTES * 4 else hex(value)
    if not isinstance(value, str):
        if isinstance(value, UUIDS):
            return str(value)
        raise InvalidInputError(f"{field} must be an integer, text or a UUID, not {type(value).__name__}", field=field)
    text = plain_text(value, field)
    if not text:
        raise InvalidInputError(f"{field} must not be the empty text", field=field)
    return text


def task_id_text(value: object, field: str = "task_id") -> str:
    """Return the id of a task, text or a UUID, as an exact `str`. Raise `InvalidInputError` for any other type."""
    if type(value) is str:  # as nearly every id is
        return value
    return str(value) if isinstance(value, UUIDS) else plain_text(value, field)


class Identifiers(dict[str, int | str]):
    """A cache of the ids that stored texts mean: `"7"` means `7`, `"007"` stays text (SCOPE-04, ROW-08).

    It is a dictionary because a lookup in it needs no Python call; every row makes two. Raises `ValueError` for a text
    that is not an id, as in a corrupt record.
    """

    def __missing__(self, text: str) -> int | str:
        if type(text) is not str or not text or not fits(text, MAXIMUM_IDENTIFIER_BYTES):
            raise ValueError(f"{text!a:.80} is not the id of a user or an organization")
        value = int(text) if CANONICAL_INTEGER.fullmatch(text) else text
        if len(self) >= MAXIMUM_IDENTIFIERS:
            self.clear()
        self[text] = value
        return value


class Organizations(dict[str, int | str | None]):
    """`Identifiers` for organizations: the empty text means no organization."""

    def __missing__(self, text: str) -> int | str | None:
        value = identifiers[text] if text != "" else None
        if len(self) >= MAXIMUM_IDENTIFIERS:
            self.clear()
        self[text] = value
        return value


identifiers: Final = Identifiers()
organizations: Final = Organizations()


def check_identifier(value: object, field: str) -> int | str:
    """Return the id in its canonical form. Raise `InvalidInputError` if no task can have it."""
    if type(value) is int and abs(value) < ORDINARY_INTEGERS:
        return value
    text = check_text(identifier_text(value, field), field, MAXIMUM_IDENTIFIER_BYTES)
    return identifiers[text]


def new_task_id() -> str:
    """Return a UUIDv7. Ids rise within a process, so that two tasks of the same microsecond keep their order."""
    return str(uuid_utils.uuid7())


def is_task_id(text: str) -> bool:
    """Return whether the text is a UUID in canonical lower-case form, as every task id is."""
    return text.isascii() and text.encode().translate(TASK_ID_TABLE) == TASK_ID_SHAPE


def storable_error(text: str) -> str:
    """Return an error text as it is stored: unstorable characters replaced, cut at 64 KiB between two characters."""
    text = UNSTORABLE.sub(REPLACEMENT, text)
    return text.encode()[:MAXIMUM_ERROR_BYTES].decode(errors="ignore")


def prefix_end(prefix: str) -> str | None:
    """Return the smallest text above all texts that start with `prefix`, or `None` if there is none (PREFIX-06).

    Code points and UTF-8 bytes sort alike, so the bound is right for every store that compares bytes.
    """
    while prefix:
        last = ord(prefix[-1])
        if last == LAST_CODE_POINT:
            prefix = prefix[:-1]
            continue
        following = FIRST_AFTER_SURROGATES if last == LAST_BEFORE_SURROGATES else last + 1
        return prefix[:-1] + chr(following)
    return None
