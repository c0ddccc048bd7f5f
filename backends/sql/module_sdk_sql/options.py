"""What a URL and the manager's options say, with types."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from module_sdk.backends import ConfigurationError, ManagerOptions, StoreURL

SYNCHRONOUS: Final = ("off", "normal", "full", "extra")
MEMORY: Final = (None, "", ":memory:")


@dataclasses.dataclass(frozen=True, slots=True)
class SQLiteOptions:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` or `sqlite:///:memory:`."""

    path: Path | None
    """Absolute; `None` is a database in memory."""
    synchronous: str = "full"
    """How SQLite waits for the disk: https://www.sqlite.org/pragma.html#pragma_synchronous."""

    @classmethod
    def parse(cls, url: URL, options: ManagerOptions) -> SQLiteOptions:
        """Raises `ConfigurationError`."""
        options.refuse_unknown(("synchronous",))
        given = {**{name: str(value) for name, value in url.query.items()}, **options.extra}
        for name in url.query:
            if name != "synchronous":
                raise ConfigurationError(f"unknown option {name!r} in the URL; SQLite knows synchronous")
        if url.host:
            raise ConfigurationError(
                "a SQLite URL has no host: write sqlite:///relative.db or sqlite:////absolute/path.db"
            )
        synchronous = str(given.get("synchronous", "full")).lower()
        if synchronous not in SYNCHRONOUS:
            raise ConfigurationError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        path = None if url.database in MEMORY else Path(str(url.database)).absolute()
        return cls(path, synchronous)


def parse_url(url: StoreURL) -> URL:
    """SQLAlchemy's reading of the URL. Raises `ConfigurationError`, which shows no password."""
    try:
        return make_url(url.text)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(f"the store URL {url} cannot be read: {url.scrub(str(error))}") from None
