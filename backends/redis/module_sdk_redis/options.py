"""What a URL and the manager's options say about reaching the server."""

from __future__ import annotations

import dataclasses
from typing import Any, Final
from urllib.parse import urlsplit

from redis.connection import SSLConnection, parse_url
from redis.exceptions import RedisError

from module_sdk.backends import ConfigurationError, ManagerOptions, StoreURL, check_with_driver

TLS_SETTINGS: Final = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_password",
)
SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}

Address = tuple[str, int]
"""Host and port."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSettings:
    """`redis://[user][:password]@host[:port]/[database]`; `rediss://` is TLS; `valkey://`, `valkeys://` likewise."""

    address: Address
    uses_tls: bool
    connection: dict[str, Any] = dataclasses.field(repr=False)
    """Arguments of redis-py's connection, credentials among them."""

    @classmethod
    def parse(cls, url: StoreURL, options: ManagerOptions) -> ServerSettings:
        """Raises `ConfigurationError`, which shows no password."""
        scheme, _, rest = url.text.partition("://")
        if scheme not in SCHEMES or not rest:
            raise ConfigurationError(f"the store URL {url} must look like redis://host:6379/0")
        try:
            given = parse_url(f"{SCHEMES[scheme]}://{rest}")
            database = urlsplit(url.text).path.strip("/") or "0"
        except ValueError:
            raise ConfigurationError(f"the store URL {url} cannot be read") from None
        if not (database.isascii() and database.isdigit()):
            raise ConfigurationError(f"the path of {url} must be the number of a database")
        uses_tls = given.pop("connection_class", None) is not None
        known = TLS_SETTINGS if uses_tls else ()
        named = ("host", "port", "username", "password", "db")
        in_query = {name for name in given if name not in named} | query_names(url).intersection(named)
        for name in sorted(in_query):
            if name not in known:
                hint = f"it knows {', '.join(known)}" if known else "ssl_… need rediss://"
                raise ConfigurationError(f"unknown option {name!r} in the URL; {hint}")
        options.refuse_unknown(known)
        address = (given.pop("host", "localhost"), given.pop("port", 6379))
        if uses_tls:
            tls = {name: value for name, value in {**given, **options.extra}.items() if name in known}
            check_with_driver(lambda: SSLConnection(**tls), tls, (RedisError, TypeError, ValueError))
        # RESP2 has one form for the answers of all versions, and no messages that nobody asked for.
        return cls(address, uses_tls, {**given, **options.extra, "db": int(database), "protocol": 2})


def query_names(url: StoreURL) -> set[str]:
    return {pair.partition("=")[0] for pair in urlsplit(url.text).query.split("&")}
