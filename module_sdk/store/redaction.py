"""Keeps secrets out of texts and out of chains of exceptions (clauses DISC-03, DISC-08)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar
from urllib.parse import quote, unquote, unquote_plus

AnyError = TypeVar("AnyError", bound=BaseException)

MASK: Final = "***"
SECRET_NAMES: Final = re.compile("pass|pwd|secret|token|credential|key|auth$", re.IGNORECASE)
"""What the name of an option contains whose value is never shown."""
# The letters of a short word are part of other words too: it is masked only where it stands by itself.
SHORTEST_PART: Final = 6


def forms_of(values: Iterable[str]) -> tuple[str, ...]:
    """The secrets as they may occur in a text: as written, decoded, encoded, within a `repr`; longest first."""
    written = {form for value in values for form in (value, unquote(value), unquote_plus(value))}
    forms = (
        written
        | {repr(form)[1:-1] for form in written}
        | {quote(form, safe="", errors="surrogatepass") for form in written}
    )
    return tuple(sorted(filter(None, forms), key=lambda form: (-len(form), form)))


@functools.lru_cache(maxsize=64)
def pattern_of(secrets: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(
        "|".join(
            rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])"
            if len(secret) < SHORTEST_PART and secret.isalnum()
            else re.escape(secret)
            for secret in secrets
        )
    )


def scrub(text: str, secrets: tuple[str, ...]) -> str:
    """The text with each of these `forms_of` secrets masked."""
    return pattern_of(secrets).sub(MASK, text) if secrets else text


def seal(error: AnyError, secrets: tuple[str, ...]) -> AnyError:
    """The same error, whose text and whose chain of causes and contexts contain no secret.

    A link of the chain that contains one is cut off, since a traceback, or the host's own log, prints the whole chain.
    To be raised outside of an `except` block: there Python would make the handled error the context again.
    """
    if not secrets:
        return error
    error.args = tuple(scrub(each, secrets) if isinstance(each, str) else each for each in error.args)
    for link in list(chain_of(error)):
        for name in ("__cause__", "__context__"):
            after = getattr(link, name)
            if after is not None and has_secret(after, secrets):
                setattr(link, name, None)
    return error


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error, and each error that a traceback may print before it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]


def has_secret(error: BaseException, secrets: tuple[str, ...]) -> bool:
    """Whether this link shows a secret, by itself or in the errors of its group."""
    try:
        texts = [
            f"{each} {each!r} {getattr(each, '__notes__', '')}" for each in (error, *getattr(error, "exceptions", ()))
        ]
    except Exception:  # an error that cannot be shown is not shown
        return True
    return any(scrub(text, secrets) != text for text in texts)
