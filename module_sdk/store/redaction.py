"""Removes secrets from texts and from chains of exceptions (clauses DISC-03, DISC-08).

`urls.py` decides which parts of a URL are secrets, and shows a URL with its password masked.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar
from urllib.parse import quote, unquote, unquote_plus

AnyError = TypeVar("AnyError", bound=BaseException)

MASK: Final = "***"
SECRET_NAMES: Final = re.compile("pass|pwd|secret|token|credential|key|auth$", re.IGNORECASE)
"""An option whose name matches this is secret: its value must never be shown."""
# A shorter secret may also be part of ordinary words, so it is masked only where it is a whole word.
SHORTEST_PART: Final = 6


def forms_of(values: Iterable[str]) -> tuple[str, ...]:
    """Return the forms of the secrets in texts: as written, decoded, encoded and as in a `repr`, longest first."""
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
    """Return the text with each of these secrets, in the forms of `forms_of`, masked."""
    return pattern_of(secrets).sub(MASK, text) if secrets else text


def seal(error: AnyError, secrets: tuple[str, ...]) -> AnyError:
    """Remove the secrets from the error and from its chain of causes and contexts, and return the same error.

    An error of the chain that contains a secret is cut off, because a traceback or the host's log prints the whole
    chain. Raise the result outside an `except` block: inside, Python would set the handled error as its context again.
    """
    if not secrets:
        return error
    error.args = tuple(scrub(each, secrets) if isinstance(each, str) else each for each in error.args)
    for member in list(chain_of(error)):
        for name in ("__cause__", "__context__"):
            earlier = getattr(member, name)
            if earlier is not None and has_secret(earlier, secrets):
                setattr(member, name, None)
    return error


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and each error that a traceback of it may print."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        member = waiting.pop()
        if member is None or id(member) in seen:
            continue
        seen.add(id(member))
        yield member
        waiting += [member.__cause__, member.__context__, *getattr(member, "exceptions", ())]


def has_secret(error: BaseException, secrets: tuple[str, ...]) -> bool:
    """Return whether the text of this error, or of the errors in its group, contains a secret."""
    try:
        texts = [
            f"{each} {each!r} {getattr(each, '__notes__', '')}" for each in (error, *getattr(error, "exceptions", ()))
        ]
    except Exception:  # an error without a readable text must not be shown
        return True
    return any(scrub(text, secrets) != text for text in texts)
