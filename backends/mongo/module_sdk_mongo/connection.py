"""The client of one manager, its two collections, and the deadline of each call."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import split_options

from module_sdk.backends import (
    ManagerOptions,
    StoreURL,
    TaskBackendUnavailableError,
    check_with_driver,
)

Document = dict[str, Any]
Order = list[tuple[str, int]]
"""Fields, each with 1 for ascending or -1."""

DEFAULT_DATABASE: Final = "module_sdk"
# The driver's monitoring has no deadline. This timeout limits how long it waits for a silent server, and therefore
# how soon it finds a server that is back (FAIL-08).
CONNECT_MILLISECONDS: Final = 1_000
CLOSE_SECONDS: Final = 1.0
SHORTEST_SECONDS: Final = 0.001

WRITE_CONCERN: Final = WriteConcern("majority", j=True)
# A date outside the range of `datetime` must not make a whole batch of documents unreadable.
CODEC: Final[CodecOptions[Document]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


class Connection:
    """The client of one manager and its collections. The driver connects on the first call.

    Reads go to the primary, and writes wait for the journals of a majority, even if the URL says otherwise.
    """

    def __init__(self, url: StoreURL, options: ManagerOptions) -> None:
        self.url = url
        self.options = options
        self.lock = threading.Lock()
        self.client: MongoClient[Document] | None = None

    def open(self) -> None:
        """Create the client unless it exists. Raises `ConfigurationError` for a URL that the driver refuses."""
        with self.lock:
            if self.client is not None:
                return
            client, refused = None, ""
            try:
                client = self.new_client()
            except (PyMongoError, ValueError, TypeError) as error:
                refused = type(error).__name__
            if client is None:
                # Raised outside the handler: the driver's error may contain a secret, so it must not be the context.
                raise self.url.unreadable(f"pymongo refuses it or one of its options ({refused})")
            self.database: Database[Document] = client.get_database(
                client.get_default_database(DEFAULT_DATABASE).name,
                codec_options=CODEC,
                read_preference=ReadPreference.PRIMARY,
                write_concern=WRITE_CONCERN,
                # The server's default (setDefaultRWConcern) may be `available`, which also returns documents that
                # belong to another shard.
                read_concern=ReadConcern("local"),
            )
            self.tasks: Collection[Document] = self.database[f"{self.options.namespace}__tasks"]
            self.meta: Collection[Document] = self.database[f"{self.options.namespace}__meta"]
            self.client = client

    def new_client(self) -> MongoClient[Document]:
        settings: dict[str, Any] = {
            "appname": "module-sdk",
            "connectTimeoutMS": CONNECT_MILLISECONDS,
            "maxPoolSize": int(self.options.max_connections),
        }
        given = parse_qsl(self.url.text.partition("?")[2])
        check_with_driver(lambda: check_options(given), dict(given), ValueError)
        in_url = {name.lower() for name, _ in given}
        defaults = {name: value for name, value in settings.items() if name.lower() not in in_url}
        return MongoClient(self.url.text, connect=False, **defaults)

    def check_role(self) -> None:
        """Raise `TaskBackendUnavailableError` unless the server is a primary.

        A secondary refuses a read that is meant for the primary, except over a direct connection: there the driver lets
        it answer in any role, so its role must be checked.
        """
        client = self.database.client
        if client.topology_description.topology_type_name == "Single":
            is_primary = bool(client.admin.command("hello", codec_options=CODEC).get("isWritablePrimary"))
        else:
            is_primary = client.is_primary
        if not is_primary:
            raise TaskBackendUnavailableError(f"{self.url} is not a primary: it accepts no writes")

    def close(self) -> None:
        with self.lock, pymongo.timeout(CLOSE_SECONDS):
            if self.client is not None:
                self.client.close()


def check_options(given: list[tuple[str, str]]) -> None:
    """Raise `ValueError` with the name of the first option that the driver does not know or understand.

    The client itself only warns of such an option and ignores it.
    """
    for name, value in given:
        try:
            split_options(urlencode({name: value}))
        except (PyMongoError, ValueError):
            raise ValueError(name) from None


def within(deadline: float) -> AbstractContextManager[None]:
    """Return a context in which the driver's calls end by the deadline.

    The deadline includes waiting for a connection, selecting a server, connecting and retries.
    """
    # Zero would mean no limit.
    return pymongo.timeout(max(deadline - time.monotonic(), SHORTEST_SECONDS))
