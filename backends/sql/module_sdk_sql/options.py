"""The options of a URL and of the manager, parsed and typed."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from module_sdk.backends import ConfigurationError, ManagerOptions, StoreURL

SYNCHRONOUS: Final = ("off", "normal", "full", "extra")
MEMORY: Final = ("", ":memory:")
OPTIONS: Final = ("synchronous", "private")
UTF8_NAMES: Final = ("utf8", "utf-8", "utf8mb3", "utf8mb4", "unicode")
# libpq checks these only after it has connected, so they are checked here.
LIBPQ_NUMBERS: Final = (
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
YES: Final = ("true", "1", "yes", "on")
NO: Final = ("false", "0", "no", "off")


@dataclasses.dataclass(frozen=True, slots=True)
class SQLiteOptions:
    """The options of `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` or `sqlite:///:memory:`."""

    path: Path | None
    """The absolute path of the file; `None` is a database in memory."""
    synchronous: str = "full"
    """How SQLite waits for the disk: https://www.sqlite.org/pragma.html#pragma_synchronous."""
    private: bool = False
    """Whether other users have no access to the file and its companions; if false, the process's umask decides."""

    @classmethod
    def parse(cls, store_url: StoreURL, url: URL, options: ManagerOptions) -> SQLiteOptions:
        """Return the options. Raises `ConfigurationError` for a bad one."""
        url, own = take_own(url, options, OPTIONS)
        refuse_unknown(store_url, url, (), f"SQLite knows {', '.join(OPTIONS)}")
        if url.host:
            raise ConfigurationError(
                "a SQLite URL has no host: write sqlite:///relative.db or sqlite:////absolute/path.db"
            )
        synchronous = own.get("synchronous", "full").lower()
        if synchronous not in SYNCHRONOUS:
            raise ConfigurationError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        private = own.get("private", "false").lower()
        if private not in (*YES, *NO):
            raise ConfigurationError("private must be true or false")
        # Versions of SQLAlchemy decode the path differently, so it is decoded here: it may contain any escaped byte.
        name = os.fsdecode(unquote_to_bytes(store_url.text.partition("://")[2].partition("?")[0].removeprefix("/")))
        path = None if name in MEMORY else Path(name).absolute()
        return cls(path, synchronous, private in YES)


@dataclasses.dataclass(frozen=True, slots=True)
class PostgreSQLOptions:
    """The options of `postgresql://user:password@host:5432/database?…`: those of libpq, and these of our own."""

    url: URL = dataclasses.field(repr=False)
    """The URL without our own options."""
    is_pooled: bool | None = None
    """`pooler=true` or `false`; with `None` (`auto`) each connection detects it."""
    connect_seconds: int | None = None
    """`connect_timeout`, which can only shorten the remaining time of a call."""
    prepare_after: int | None = 2
    """`prepare_threshold`: how often a statement runs before it is prepared; with `None` (`none`) it never is."""

    @classmethod
    def parse(cls, store_url: StoreURL, url: URL, options: ManagerOptions, known: Collection[str]) -> PostgreSQLOptions:
        """Return the options; `known` are those of libpq. Raises `ConfigurationError` for a bad one."""
        names = ("pooler", "prepare_threshold", "connect_timeout", "autocommit", "client_encoding")
        url, own = take_own(url, options, names)
        refuse_unknown(
            store_url, url, known, f"libpq has no such option, and those of module-sdk are {', '.join(names)}"
        )
        require_autocommit(own)
        require_utf8(own, "client_encoding")
        pooler = own.get("pooler", "auto").lower()
        if pooler not in (*YES, *NO, "auto"):
            raise ConfigurationError("pooler must be true, false or auto")
        threshold = own.get("prepare_threshold", "2").lower()
        for name in LIBPQ_NUMBERS:
            if name in url.query:
                whole_number(name, str(url.query[name]))
        return cls(
            url,
            is_pooled=None if pooler == "auto" else pooler in YES,
            connect_seconds=connect_seconds(own),
            prepare_after=None if threshold == "none" else whole_number("prepare_threshold", threshold),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class MariaDBOptions:
    """The options of `mysql://user:password@host:3306/database?…`: those of the driver, and these of our own."""

    url: URL = dataclasses.field(repr=False)
    """The URL without our own options."""
    connect_seconds: int | None = None
    """As for PostgreSQL."""
    typed: dict[str, bool | int] = dataclasses.field(default_factory=dict)
    """Options of the driver that must not be text."""

    @classmethod
    def parse(cls, url: URL, options: ManagerOptions) -> MariaDBOptions:
        """Return the options. Raises `ConfigurationError` for a bad one of our own; the driver checks the others."""
        for name in ("use_unicode", "binary_prefix", "conv", "cursorclass", "defer_connect"):
            if name in url.query:
                raise ConfigurationError(f"{name} cannot be chosen in the URL: the SQL backend sets it")
        url, own = take_own(url, options, ("autocommit", "charset", "connect_timeout"))
        require_autocommit(own)
        require_utf8(own, "charset")
        typed: dict[str, bool | int] = {}
        for name in ("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity", "max_allowed_packet"):
            if name in url.query:
                text = str(url.query[name])
                typed[name] = truth(name, text) if name.startswith("ssl_") else whole_number(name, text)
        return cls(url, connect_seconds(own), typed)


def take_own(url: URL, options: ManagerOptions, names: Collection[str]) -> tuple[URL, dict[str, str]]:
    """Return the URL without these options, and their values as text; the manager's options override the URL's."""
    options.refuse_unknown(names)
    own = {name: url.query[name] for name in names if name in url.query}
    for name, value in own.items():
        if not isinstance(value, str):
            raise ConfigurationError(f"the URL has {name} more than once")
    texts = {name: str(value) for name, value in {**own, **options.extra}.items()}
    return url.difference_update_query(names), texts


def truth(name: str, text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ConfigurationError(f"{name} must be true or false")
    return text.lower() in YES


def whole_number(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ConfigurationError(f"{name} must be a whole number of at most nine digits")
    return int(text)


def connect_seconds(own: dict[str, str]) -> int | None:
    seconds = whole_number("connect_timeout", own.get("connect_timeout", "0"))
    # As in libpq, zero means no limit.
    return seconds or None


def require_autocommit(own: dict[str, str]) -> None:
    if not truth("autocommit", own.get("autocommit", "true")):
        raise ConfigurationError("autocommit is always on: a call that needs a transaction begins one itself")


def require_utf8(own: dict[str, str], name: str) -> None:
    if own.get(name, "utf8").lower() not in UTF8_NAMES:
        raise ConfigurationError(f"{name} is always UTF-8: leave it out")


def refuse_unknown(store_url: StoreURL, url: URL, known: Collection[str], hint: str) -> None:
    """Raise `ConfigurationError` for an option in the URL that is not `known`."""
    for name in url.query:
        if name not in known:
            raise ConfigurationError(f"unknown option {store_url.shown_option(name)} in the URL; {hint}")


def parse_url(url: StoreURL) -> URL:
    """Return the URL as SQLAlchemy parses it. Raises `ConfigurationError` without the password."""
    parsed: URL | None
    try:
        parsed = make_url(url.text)
    except (SQLAlchemyError, ValueError):
        parsed = None
    # Not in the handler: the parser's error, which may contain the password, must not be the context of ours.
    if parsed is None or (url.scheme != "sqlite" and "@" in (parsed.database or "")):
        raise url.unreadable(f"it must look like {url.scheme}://user:password@host/database")
    return parsed
