"""What a URL and the manager's options say, with types."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from module_sdk.backends import ConfigurationError, ManagerOptions, StoreURL

SYNCHRONOUS: Final = ("off", "normal", "full", "extra")
MEMORY: Final = ("", ":memory:")
OPTIONS: Final = ("synchronous", "private")


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
        options.refuse_unknown(OPTIONS)
        given = {**{name: str(value) for name, value in url.query.items()}, **options.extra}
        for name in url.query:
            if name not in OPTIONS:
                shown = store_url.shown_option(name)
                raise ConfigurationError(f"unknown option {shown} in the URL; SQLite knows {', '.join(OPTIONS)}")
        if url.host:
            raise ConfigurationError(
                "a SQLite URL has no host: write sqlite:///relative.db or sqlite:////absolute/path.db"
            )
        synchronous = str(given.get("synchronous", "full")).lower()
        if synchronous not in SYNCHRONOUS:
            raise ConfigurationError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        private = str(given.get("private", False)).lower()
        if private not in ("true", "false"):
            raise ConfigurationError("private must be true or false")
        # Not by SQLAlchemy, whose versions differ in it: a name is bytes, and "%" may begin any of them.
        name = os.fsdecode(unquote_to_bytes(store_url.text.partition("://")[2].partition("?")[0].removeprefix("/")))
        path = None if name in MEMORY else Path(name).absolute()
        return cls(path, synchronous, private == "true")


def parse_url(url: StoreURL) -> URL:
    """SQLAlchemy's reading of the URL. Raises `ConfigurationError`, which shows no password."""
    parsed: URL | None
    try:
        parsed = make_url(url.text)
    except (ArgumentError, ValueError):
        parsed = None
    # Outside of the handler, so that the parser's error is not the context of ours.
    if parsed is None or (url.scheme != "sqlite" and "@" in (parsed.database or "")):
        raise url.unreadable(f"it must look like {url.scheme}://user:password@host/database")
    return parsed
