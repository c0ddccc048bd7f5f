"""What a URL and the manager's options say, with types."""

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
# libpq looks at these only when it has connected.
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
    """`sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` or `sqlite:///:memory:`."""

    path: Path | None
    """Absolute; `None` is a database in memory."""
    synchronous: str = "full"
    """How SQLite waits for the disk: https://www.sqlite.org/pragma.html#pragma_synchronous."""
    private: bool = False
    """Whether the file and its companions are closed to other users, whatever the process's mask; else it decides."""

    @classmethod
    def parse(cls, store_url: StoreURL, url: URL, options: ManagerOptions) -> SQLiteOptions:
        """Raises `ConfigurationError`."""
        url, given = take_ours(url, options, OPTIONS)
        refuse_unknown(store_url, url, (), f"SQLite knows {', '.join(OPTIONS)}")
        if url.host:
            raise ConfigurationError(
                "a SQLite URL has no host: write sqlite:///relative.db or sqlite:////absolute/path.db"
            )
        synchronous = given.get("synchronous", "full").lower()
        if synchronous not in SYNCHRONOUS:
            raise ConfigurationError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        private = given.get("private", "false").lower()
        if private not in (*YES, *NO):
            raise ConfigurationError("private must be true or false")
        # Not by SQLAlchemy, whose versions differ in it: a name is bytes, and "%" may begin any of them.
        name = os.fsdecode(unquote_to_bytes(store_url.text.partition("://")[2].partition("?")[0].removeprefix("/")))
        path = None if name in MEMORY else Path(name).absolute()
        return cls(path, synchronous, private in YES)


@dataclasses.dataclass(frozen=True, slots=True)
class PostgreSQLOptions:
    """`postgresql://user:password@host:5432/database?…`, with options of libpq and these of ours."""

    url: URL = dataclasses.field(repr=False)
    """With options of libpq alone."""
    is_pooled: bool | None = None
    """`pooler=true` or `false`; `None` (`auto`) finds out for each connection."""
    connect_seconds: int | None = None
    """`connect_timeout`, which only shortens what a call has left."""
    prepare_after: int | None = 2
    """`prepare_threshold`: how often a statement runs before it is prepared; `None` (`none`) is never."""

    @classmethod
    def parse(cls, store_url: StoreURL, url: URL, options: ManagerOptions, known: Collection[str]) -> PostgreSQLOptions:
        """`known` are the options of libpq. Raises `ConfigurationError`."""
        names = ("pooler", "prepare_threshold", "connect_timeout", "autocommit", "client_encoding")
        url, given = take_ours(url, options, names)
        refuse_unknown(store_url, url, known, f"libpq has none of that name, and ours are {', '.join(names)}")
        require_autocommit(given)
        require_utf8(given, "client_encoding")
        pooler = given.get("pooler", "auto").lower()
        if pooler not in (*YES, *NO, "auto"):
            raise ConfigurationError("pooler must be true, false or auto")
        threshold = given.get("prepare_threshold", "2").lower()
        for name in LIBPQ_NUMBERS:
            if name in url.query:
                whole_number(name, str(url.query[name]))
        return cls(
            url,
            is_pooled=None if pooler == "auto" else pooler in YES,
            connect_seconds=connect_seconds(given),
            prepare_after=None if threshold == "none" else whole_number("prepare_threshold", threshold),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class MariaDBOptions:
    """`mysql://user:password@host:3306/database?…`, with options of the driver and these of ours."""

    url: URL = dataclasses.field(repr=False)
    """With options of the driver alone."""
    connect_seconds: int | None = None
    """As for PostgreSQL."""
    typed: dict[str, bool | int] = dataclasses.field(default_factory=dict)
    """Options that the driver wants as something else than text."""

    @classmethod
    def parse(cls, url: URL, options: ManagerOptions) -> MariaDBOptions:
        """Raises `ConfigurationError` for a bad option of ours; the driver looks at its own."""
        for name in ("use_unicode", "binary_prefix", "conv", "cursorclass", "defer_connect"):
            if name in url.query:
                raise ConfigurationError(f"{name} cannot be chosen in the URL: the SQL backend sets it")
        url, given = take_ours(url, options, ("autocommit", "charset", "connect_timeout"))
        require_autocommit(given)
        require_utf8(given, "charset")
        typed: dict[str, bool | int] = {}
        for name in ("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity", "max_allowed_packet"):
            if name in url.query:
                text = str(url.query[name])
                typed[name] = truth(name, text) if name.startswith("ssl_") else whole_number(name, text)
        return cls(url, connect_seconds(given), typed)


def take_ours(url: URL, options: ManagerOptions, names: Collection[str]) -> tuple[URL, dict[str, str]]:
    """The URL without these options, and their values as text; an option of the manager wins over the URL's."""
    options.refuse_unknown(names)
    given = {name: url.query[name] for name in names if name in url.query}
    for name, value in given.items():
        if not isinstance(value, str):
            raise ConfigurationError(f"the URL has {name} more than once")
    texts = {name: str(value) for name, value in {**given, **options.extra}.items()}
    return url.difference_update_query(names), texts


def truth(name: str, text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ConfigurationError(f"{name} must be true or false")
    return text.lower() in YES


def whole_number(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ConfigurationError(f"{name} must be a whole number of at most nine digits")
    return int(text)


def connect_seconds(given: dict[str, str]) -> int | None:
    seconds = whole_number("connect_timeout", given.get("connect_timeout", "0"))
    # As libpq has it, zero is no limit.
    return seconds or None


def require_autocommit(given: dict[str, str]) -> None:
    if not truth("autocommit", given.get("autocommit", "true")):
        raise ConfigurationError("autocommit is always on: a call that needs a transaction begins one itself")


def require_utf8(given: dict[str, str], name: str) -> None:
    if given.get(name, "utf8").lower() not in UTF8_NAMES:
        raise ConfigurationError(f"{name} is always UTF-8: leave it out")


def refuse_unknown(store_url: StoreURL, url: URL, known: Collection[str], hint: str) -> None:
    """Raise `ConfigurationError` for an option in the URL that is not `known`."""
    for name in url.query:
        if name not in known:
            raise ConfigurationError(f"unknown option {store_url.shown_option(name)} in the URL; {hint}")


def parse_url(url: StoreURL) -> URL:
    """SQLAlchemy's reading of the URL. Raises `ConfigurationError`, which shows no password."""
    parsed: URL | None
    try:
        parsed = make_url(url.text)
    except (SQLAlchemyError, ValueError):
        parsed = None
    # Outside of the handler, so that the parser's error is not the context of ours.
    if parsed is None or (url.scheme != "sqlite" and "@" in (parsed.database or "")):
        raise url.unreadable(f"it must look like {url.scheme}://user:password@host/database")
    return parsed
