"""Which texts and ids a task may have; written once, for every store (DESIGN.md, "Maximums" and "Session")."""

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
# Nearly every id lies below, and needs no look at its length.
ORDINARY_INTEGERS: Final = 2**63
# Beyond it the table is emptied, so that a stream of new users costs time but no memory.
MAXIMUM_IDENTIFIERS: Final = 65_536

CANONICAL_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
# The id of a task with an `x` for each of its digits, by a table, is this text: a quarter of the time of a search.
TASK_ID_SHAPE: Final = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
TASK_ID_TABLE: Final = bytes.maketrans(b"0123456789abcdefx", b"xxxxxxxxxxxxxxxx?")
LAST_CODE_POINT: Final = 0x10FFFF
LAST_BEFORE_SURROGATES: Final = 0xD7FF
FIRST_AFTER_SURROGATES: Final = 0xE000

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "�"
UUIDS: Final = (uuid.UUID, uuid_utils.UUID)


def plain_text(value: object, field: str) -> str:
    """The value as an exact `str`; `InvalidInputError` for any other type."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{field} must be text, not {type(value).__name__}", field=field)
    # A subclass (an enum member, a lazy translation) may override what str() gives.
    return value if type(value) is str else str.__str__(value)


def fits(text: str, maximum: int) -> bool:
    """Whether a store can hold the text: no NUL, no lone surrogate, at most `maximum` bytes of UTF-8."""
    if text.isascii():  # a fifth of the time of the search, for nearly every text there is
        return len(text) <= maximum and "\0" not in text
    return UNSTORABLE.search(text) is None and (len(text) * 4 <= maximum or len(text.encode()) <= maximum)


def check_text(value: object, field: str, maximum: int, *, minimum: int = 0) -> str:
    """The text, if a task may have it; otherwise an `InvalidInputError` that says which rule it breaks."""
    # As nearly every text is, and without a call: five are checked for each task that is made.
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
    """The canonical text of an id, which is what stores hold; `InvalidInputError` for a wrong type (SCOPE-04, 07).

    The text may still be one that no task can have: see `fits`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        # Python refuses to write integers of thousands of digits in decimal; in hexadecimal they are too long as well.
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
    """The id of a task as an exact `str`, of a UUID too; `InvalidInputError` for any other type."""
    if type(value) is str:  # as nearly every id is
        return value
    return str(value) if isinstance(value, UUIDS) else plain_text(value, field)


class Identifiers(dict[str, int | str]):
    """What canonical texts stand for: `"7"` is `7`, `"007"` stays text (SCOPE-04, ROW-08). Made when first asked for.

    A dictionary, because that answers without a call of Python, for each row twice. Raises `ValueError` for what is no
    id, as found in a corrupt record.
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
    """`Identifiers` of organizations: the empty text stands for none."""

    def __missing__(self, text: str) -> int | str | None:
        value = identifiers[text] if text != "" else None
        if len(self) >= MAXIMUM_IDENTIFIERS:
            self.clear()
        self[text] = value
        return value


identifiers: Final = Identifiers()
organizations: Final = Organizations()


def check_identifier(value: object, field: str) -> int | str:
    """The id in its canonical form, if a task may have it."""
    if type(value) is int and abs(value) < ORDINARY_INTEGERS:
        return value
    text = check_text(identifier_text(value, field), field, MAXIMUM_IDENTIFIER_BYTES)
    return identifiers[text]


def new_task_id() -> str:
    """A UUIDv7, rising within a process, so that two tasks of one microsecond keep their order."""
    return str(uuid_utils.uuid7())


def is_task_id(text: str) -> bool:
    """Whether the text is a UUID in canonical lower-case form; no other text is the id of a task."""
    return text.isascii() and text.encode().translate(TASK_ID_TABLE) == TASK_ID_SHAPE


def storable_error(text: str) -> str:
    """An error text as it is kept: unstorable characters replaced, cut at 64 KiB on a character's border."""
    text = UNSTORABLE.sub(REPLACEMENT, text)
    return text.encode()[:MAXIMUM_ERROR_BYTES].decode(errors="ignore")


def prefix_end(prefix: str) -> str | None:
    """The smallest text above every text that starts with `prefix`; `None` if nothing is above (PREFIX-06).

    Code points and UTF-8 bytes sort alike, so the bound holds in every store that compares bytes.
    """
    while prefix:
        last = ord(prefix[-1])
        if last == LAST_CODE_POINT:
            prefix = prefix[:-1]
            continue
        following = FIRST_AFTER_SURROGATES if last == LAST_BEFORE_SURROGATES else last + 1
        return prefix[:-1] + chr(following)
    return None
