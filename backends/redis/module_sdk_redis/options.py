"""Settings for reaching the server, from a URL and the manager's options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

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
SENTINEL_SETTINGS: Final = ("sentinel_username", "sentinel_password", "sentinel_tls")
SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
SENTINEL: Final = "+sentinel"
SENTINEL_PORT: Final = 26_379
YES_OR_NO: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}

Address = tuple[str, int]
"""Host and port."""


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The settings that all connections to servers, or all connections to sentinels, have in common."""

    uses_tls: bool
    arguments: Mapping[str, Any] = dataclasses.field(repr=False)
    """Arguments of redis-py's connection class, including credentials."""


@dataclasses.dataclass(frozen=True, slots=True)
class SentinelSettings:
    """The sentinels that a URL names, and the service whose primary they know."""

    service: str
    addresses: tuple[Address, ...]
    connection: ConnectionSettings


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSettings:
    """The server or the sentinels that a URL names.

    `redis://[user][:password]@host[:port]/[database]` names a server; `rediss://` uses TLS; `valkey://` and `valkeys://`
    mean the same.

    `redis+sentinel://[user][:password]@host[:port][,host[:port]…]/service[/database]` names sentinels. Its user and
    password are for the servers; `sentinel_username` and `sentinel_password` are for the sentinels. TLS applies to both
    unless `sentinel_tls` says otherwise.
    """

    address: Address
    """The address of the server, or of the first sentinel."""
    connection: ConnectionSettings
    sentinels: SentinelSettings | None = None

    @classmethod
    def parse(cls, url: StoreURL, options: ManagerOptions) -> ServerSettings:
        """Return the settings. Raises `ConfigurationError`, which shows no password."""
        scheme, _, rest = url.text.partition("://")
        base = scheme.removesuffix(SENTINEL)
        if base not in SCHEMES or not rest:
            raise ConfigurationError(
                f"the store URL {url} must look like redis://host:6379/0 or redis+sentinel://host:26379/service/0"
            )
        given: dict[str, Any] | None = None
        service, addresses = "", tuple[Address, ...]()
        try:
            parts = urlsplit(f"{SCHEMES[base]}://{rest}")
            if base != scheme:
                service, addresses, parts = sentinels_of(url, parts)
            given = {**parse_url(parts.geturl())}
        except ValueError:
            given = None
        if given is None:
            # Raised outside the handler: the parser's error may contain a secret, so it must not become the context.
            raise url.unreadable("redis-py refuses it or one of its options")
        database = parts.path.strip("/") or "0"
        if not (database.isascii() and database.isdigit()):
            raise url.unreadable("its path must be the number of a database, as in redis://host:6379/0")
        given["db"] = int(database)
        return checked(url, options, given, (service, addresses))


def checked(
    url: StoreURL, options: ManagerOptions, given: dict[str, Any], named_sentinels: tuple[str, tuple[Address, ...]]
) -> ServerSettings:
    """Return the settings. Raises `ConfigurationError` for a parameter or an option that is not allowed here."""
    service, addresses = named_sentinels
    uses_tls = given.pop("connection_class", None) is not None
    values = {**given, **options.extra}
    sentinel_tls = YES_OR_NO.get(str(values.get("sentinel_tls", uses_tls)).lower()) if addresses else False
    if sentinel_tls is None:
        raise ConfigurationError("sentinel_tls must be yes or no")
    known = (*(TLS_SETTINGS if uses_tls or sentinel_tls else ()), *(SENTINEL_SETTINGS if addresses else ()))
    named = ("host", "port", "username", "password", "db")
    in_query = {name for name in given if name not in named} | query_names(url).intersection(named)
    for name in sorted(in_query):
        if name not in known:
            hint = f"it knows {', '.join(known)}" if known else "ssl_… options need rediss://"
            raise ConfigurationError(f"unknown option {url.shown_option(name)} in the URL; {hint}")
    options.refuse_unknown(known)
    address = (values.pop("host", "localhost"), values.pop("port", 6379))
    tls: dict[str, Any] = {name: values.pop(name) for name in TLS_SETTINGS if name in values}
    of_sentinels: dict[str, Any] = {name: values.pop(name) for name in SENTINEL_SETTINGS if name in values}
    check_with_driver(lambda: SSLConnection(**tls), tls, (RedisError, TypeError, ValueError))
    # RESP2 replies have the same form in all server versions, and the server sends no push messages.
    arguments: dict[str, Any] = {**values, **(tls if uses_tls else {}), "protocol": 2}
    connection = ConnectionSettings(uses_tls, arguments)
    if not addresses:
        return ServerSettings(address, connection)
    sentinel_arguments: dict[str, Any] = {**(tls if sentinel_tls else {}), "db": 0, "protocol": 2}
    for name in ("username", "password"):
        sentinel_arguments[name] = of_sentinels.get(f"sentinel_{name}")
    sentinels = SentinelSettings(service, addresses, ConnectionSettings(sentinel_tls, sentinel_arguments))
    return ServerSettings(addresses[0], connection, sentinels)


def sentinels_of(url: StoreURL, parts: SplitResult) -> tuple[str, tuple[Address, ...], SplitResult]:
    """Return the service, the sentinels, and the parts of a URL of one server with the same user and database."""
    service, _, database = parts.path.strip("/").partition("/")
    userinfo, at, hosts = parts.netloc.rpartition("@")
    addresses = [address_of(host) for host in hosts.split(",")]
    known = tuple(address for address in addresses if address is not None)
    if len(known) != len(addresses) or not service or "@" in userinfo:
        raise ConfigurationError(
            f"the store URL {url} must name sentinels and a service: redis+sentinel://host:26379,host2:26379/service/0 "
            "with user:password@ before the first host for the servers, sentinel_password=… for the sentinels, and %40 "
            "for an '@' in a password"
        )
    return unquote(service), known, parts._replace(netloc=f"{userinfo}{at}sentinel", path=f"/{database}")


def address_of(text: str) -> Address | None:
    """Return the address in `host`, `host:port` or `[address]:port`, or `None` if there is none."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return None if not host or "@" in text else (host, SENTINEL_PORT if port is None else port)


def query_names(url: StoreURL) -> set[str]:
    return {pair.partition("=")[0] for pair in urlsplit(url.text).query.split("&")}
