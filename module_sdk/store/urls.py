"""Store URLs: their grammar, the option `namespace` in their query, and the parts that may be shown (clause DISC-03).

The grammar is `scheme://user:password@host:port/path?name=value`. An ambiguous URL is refused before any driver sees
it. The error must repeat no part of it, because the apparent host or port may be the rest of a password.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable
from typing import Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode

from module_sdk.domain.text_rules import fits
from module_sdk.errors import ConfigurationError
from module_sdk.store import redaction
from module_sdk.store.redaction import MASK, SECRET_NAMES

AnyError = TypeVar("AnyError", bound=BaseException)

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(\+[A-Za-z0-9_.-]+)?://")
NAMESPACE = re.compile(r"[a-z](?:_?[a-z0-9])*")
MAXIMUM_NAMESPACE: Final = 24
MAXIMUM_URL_BYTES: Final = 65_536
HIGHEST_PORT: Final = 65_535
LAST_CONTROL_CHARACTER: Final = "\x1f"
DELETE: Final = "\x7f"
HALF_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|[^\[\]:]*)(?::(\d{0,9}))?", re.ASCII)
ENCODE: Final = (
    "in a user name, a password or an option write '@' as %40, ':' as %3A, '/' as %2F, '?' as %3F, '#' as %23, "
    "'%' as %25, a space as %20"
)


@dataclasses.dataclass(frozen=True, slots=True)
class StoreURL:
    """A parsed store URL. `text` contains the secrets; `str()` and `repr()` do not."""

    text: str = dataclasses.field(repr=False)
    scheme: str
    """The name of the entry point: the scheme of the URL without `+driver`."""
    namespace: str | None
    """The namespace from the query, from which `text` omits it."""
    further_secrets: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    """Secrets that were passed as options besides the URL."""

    @classmethod
    def parse(cls, url: object) -> StoreURL:
        """Return the parsed URL. Raise `ConfigurationError`, which must not repeat more of the URL than its scheme."""
        if not isinstance(url, str):
            raise ConfigurationError("the store URL must be text, such as sqlite:///tasks.db")
        if not url.strip():
            raise ConfigurationError("the store URL is empty")
        match = SCHEME.match(url)
        if match is None:
            raise ConfigurationError(
                "the store URL must look like sqlite:///tasks.db, redis://host or memory://: "
                "a scheme of letters, digits, '.' and '-', then a colon and two slashes, and no quotes around it"
            )
        if not fits(url, MAXIMUM_URL_BYTES):
            raise ConfigurationError(f"the store URL must be text without NUL, of at most {MAXIMUM_URL_BYTES:,} bytes")
        check_parts(url, match.end())
        text, mark, query = url.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        names = [value for name, value in pairs if name == "namespace"]
        if names:
            query = urlencode([pair for pair in pairs if pair[0] != "namespace"])
            mark = "?" if query else ""
        namespace = check_namespace(names[-1]) if names else None
        return cls(f"{text}{mark}{query}", match[1].lower(), namespace)

    def hiding(self, secrets: Iterable[str]) -> StoreURL:
        """Return a copy whose `scrub` and `seal` mask these secrets as well."""
        return dataclasses.replace(self, further_secrets=tuple(secrets))

    def refuse_query(self) -> None:
        """Raise `ConfigurationError` if the URL has parameters. For backends whose URLs have none.

        The error does not name them: the text after an unescaped "?" may be the rest of a password.
        """
        if "?" in self.text:
            raise ConfigurationError(
                f"the URL of {self.scheme}:// has parameters after '?', and this backend knows none"
            )

    def shown_option(self, name: str) -> str:
        """Return how an error may refer to a parameter, whose name may be the rest of a secret. For backends."""
        shown = shown_query(self.text.partition("?")[2])
        return (
            repr(name) if f"&{name}=" in f"&{shown}" else "whose name is not shown, since it may be part of a secret,"
        )

    def unreadable(self, reason: str) -> ConfigurationError:
        """Return the error to raise if the driver refuses the URL, without the driver's text. For backends."""
        return ConfigurationError(f"the store URL of {self.scheme}:// cannot be read: {reason}; {ENCODE}")

    def secrets(self) -> list[str]:
        """Return the secrets of the URL and the options: as written, decoded and encoded, longest first."""
        return list(secrets_of(self))

    def scrub(self, text: str) -> str:
        """Return the text with every secret of this URL masked."""
        return redaction.scrub(text, secrets_of(self))

    def seal(self, error: AnyError) -> AnyError:
        """Remove every secret of this URL from the text and causes of the error, and return it (`redaction.seal`)."""
        return redaction.seal(error, secrets_of(self))

    def __str__(self) -> str:
        scheme, mark, rest = self.text.partition("://")
        location, question, query = rest.partition("?")
        authority, slash, path = location.partition("/")
        user, at, hosts = authority.rpartition("@")
        name, colon, password = user.partition(":")
        # A user name without a password may be a token.
        shown = f"{name}:{MASK if password else ''}" if colon else MASK
        return f"{scheme}{mark}{f'{shown}@' if at and user else at}{hosts}{slash}{path}{question}{shown_query(query)}"


@functools.lru_cache(maxsize=64)
def secrets_of(url: StoreURL) -> tuple[str, ...]:
    location, _, query = url.text.partition("://")[2].partition("?")
    user, at, _ = location.partition("/")[0].rpartition("@")
    # A user name without a password may be a token. It is masked only with its "@", as in a URL: a server's errors must
    # be able to name the user.
    password = user.partition(":")[2] if ":" in user else f"{user}{at}"
    values = [pair.partition("=")[2] for pair in query.split("&") if is_secret_pair(pair)]
    return redaction.forms_of([password, *values, *url.further_secrets])


def is_secret_pair(pair: str) -> bool:
    """Return whether the value of `name=value` may be a secret or contain one, as the URL of a proxy does."""
    name, _, value = pair.partition("=")
    return (
        SECRET_NAMES.search(unquote(name)) is not None
        or "@" in (text := unquote(value))
        or (":" in text and SECRET_NAMES.search(text) is not None)
    )


def shown_query(query: str) -> str:
    """Return the parameters up to the first secret. The rest is masked: it may belong to a secret with an "&"."""
    shown = []
    pairs = query.split("&")
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark:
            shown.append(MASK if pair else "")
        elif value and is_secret_pair(pair):
            shown += [f"{name}={MASK}", *([MASK] if pair is not pairs[-1] else [])]
            break
        else:
            shown.append(pair)
    return "&".join(shown)


def check_parts(url: str, start: int) -> None:
    """Raise `ConfigurationError` if the URL, whose authority begins at `start`, is ambiguous."""
    rest = url[start:]
    if url != url.strip() or any(character <= LAST_CONTROL_CHARACTER or character == DELETE for character in url):
        raise ConfigurationError(
            "the store URL contains a line break or another control character, or ends with a space"
        )
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path, _, query = rest[len(authority) :].partition("?")
    if authority.count("@") > 1:
        raise ConfigurationError(f"the store URL has more than one '@' before its host: {ENCODE}")
    # The name of a file may contain ":" and "@", but not in the order of a user, a password and a host.
    is_ambiguous = path.rpartition("@")[0].partition(":")[2] or (authority and ("@" in path or "#" in path))
    if is_ambiguous or "@" in query or "#" in query:
        raise ConfigurationError(f"the store URL has an '@' or a '#' after its host: {ENCODE}")
    if not authority:
        return
    if " " in authority or HALF_ESCAPE.search(authority + query):
        raise ConfigurationError(f"the store URL has a space or a '%' without two hexadecimal digits: {ENCODE}")
    for host in authority.rpartition("@")[2].split(","):
        match = HOST.fullmatch(host)
        if match is None or int(match[1] or 0) > HIGHEST_PORT:
            raise ConfigurationError(
                f"the port in the store URL is not a number up to {HIGHEST_PORT:,}: {ENCODE}; "
                "an IPv6 address must be in brackets"
            )


def check_namespace(namespace: object) -> str:
    """Return a valid namespace. Raise `ConfigurationError` for any other value."""
    if not isinstance(namespace, str) or len(namespace) > MAXIMUM_NAMESPACE or not NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(
            f"namespace must be 1 to {MAXIMUM_NAMESPACE} characters of [a-z0-9_], begin with a letter, have no '__' "
            "and no '_' at the end"
        )
    return namespace
