"""Store URLs: their scheme, our own options in their query, and what of them may be shown (clause DISC-03)."""

from __future__ import annotations

import dataclasses
import re
from typing import Final
from urllib.parse import parse_qsl, unquote, unquote_plus, urlencode

from module_sdk.errors import ConfigurationError
from module_sdk.text_rules import fits

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(\+[A-Za-z0-9_.-]+)?:")
NAMESPACE = re.compile(r"[a-z](?:_?[a-z0-9])*")
MAXIMUM_NAMESPACE: Final = 24
MAXIMUM_URL_BYTES: Final = 65_536
MASK: Final = "***"
SECRET_NAMES = re.compile("pass|pwd|secret|token|credential|key", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class StoreURL:
    """`text` holds the secrets; `str()` and `repr()` do not."""

    text: str = dataclasses.field(repr=False)
    scheme: str
    """The entry point's name: the URL's scheme without `+driver`."""
    namespace: str | None
    """From the query; it is not part of `text`."""

    @classmethod
    def parse(cls, url: object) -> StoreURL:
        """Raises `ConfigurationError`, which never repeats more of the URL than its scheme."""
        match = SCHEME.match(url) if isinstance(url, str) else None
        if not isinstance(url, str) or match is None:
            raise ConfigurationError(
                "the store URL must look like sqlite:///tasks.db, redis://host or memory://: "
                "a scheme of letters, digits, '.' and '-', then a colon"
            )
        if not fits(url, MAXIMUM_URL_BYTES):
            raise ConfigurationError(f"the store URL must be text without NUL, of at most {MAXIMUM_URL_BYTES:,} bytes")
        text, mark, query = url.partition("?")
        query, fragment_mark, fragment = query.partition("#")
        pairs = parse_qsl(query, keep_blank_values=True)
        names = [value for name, value in pairs if name == "namespace"]
        if names:
            rest = urlencode([pair for pair in pairs if pair[0] != "namespace"])
            mark, query = "?" if rest else "", rest
        namespace = check_namespace(names[-1]) if names else None
        return cls(f"{text}{mark}{query}{fragment_mark}{fragment}", match[1].lower(), namespace)

    def refuse_query(self) -> None:
        """For backends whose URLs have no parameters: raise `ConfigurationError` if this one has some.

        It does not name them: behind an unescaped "?" may stand the rest of a password.
        """
        if "?" in self.text:
            raise ConfigurationError(
                f"the URL of {self.scheme}:// has parameters after '?', and this backend knows none"
            )

    def secrets(self) -> list[str]:
        """The passwords in the URL, as written and decoded, longest first."""
        place = self.text.partition("://")[2]
        # A password with an unescaped "/", "?" or "@" makes the border doubtful: both readings are kept out of sight.
        readings = (re.split("[/?#]", place)[0].rpartition("@")[0], place.rpartition("@")[0])
        found = [userinfo.partition(":")[2] for userinfo in readings]
        raw_pairs = (pair.partition("=") for pair in self.text.partition("?")[2].split("&"))
        values = [value for name, _, value in raw_pairs if SECRET_NAMES.search(name)]
        found += values + [value.partition("#")[0] for value in values]
        forms = {secret for value in found for secret in (value, unquote(value), unquote_plus(value))}
        return sorted(filter(None, forms), key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """The text with every password of this URL masked."""
        for secret in self.secrets():
            text = text.replace(secret, MASK)
        return text

    def __str__(self) -> str:
        # The scheme is no secret, even where a password is the same word.
        scheme, mark, rest = self.text.partition("://")
        return f"{scheme}{mark}{self.scrub(rest)}" if mark else self.scrub(self.text)


def check_namespace(namespace: object) -> str:
    """1 to 24 of `[a-z0-9_]`, beginning with a letter, no `__`, no `_` at the end (DESIGN.md, "Configuration")."""
    if not isinstance(namespace, str) or len(namespace) > MAXIMUM_NAMESPACE or not NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(
            f"namespace must be 1 to {MAXIMUM_NAMESPACE} of [a-z0-9_], begin with a letter, have no '__' "
            "and no '_' at the end"
        )
    return namespace
