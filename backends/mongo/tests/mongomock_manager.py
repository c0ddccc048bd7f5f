"""The MongoDB backend on mongomock, which simulates a part of MongoDB in memory, without a server."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from typing import Any, Final, Self, cast

import mongomock
from module_sdk_mongo.connection import Connection
from module_sdk_mongo.manager import MongoTaskManager
from mongomock.store import ServerStore
from pymongo import IndexModel

from module_sdk.backends import Capabilities, ManagerOptions, TaskManager

SERVER: Final = ServerStore()  # type: ignore[no-untyped-call]  # mongomock has no types
# This lock makes calls atomic, as on a server, and ensures that no call is in progress at a fork.
LOCK: Final = threading.RLock()
os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


class MongomockConnection(Connection):
    def open(self) -> None:
        super().open()
        self.tasks = cast("Any", MongomockCollection(self.database[self.tasks.name]))

    def check_role(self) -> None:
        """Do nothing: there is only one server, which has no role."""

    def new_client(self) -> Any:
        return mongomock.MongoClient(self.url.text, _store=SERVER)


class MongomockCollection:
    """A mongomock collection that ignores hints, and respects the condition of the partial index."""

    def __init__(self, collection: Any) -> None:
        check_uniqueness = collection._ensure_uniques

        def check_if_indexed(document: dict[str, Any]) -> None:
            # Only documents with an active key are in the unique index, but mongomock would check all of them.
            if "active_key" in document:
                check_uniqueness(document)

        collection._ensure_uniques = check_if_indexed
        self.collection = collection

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.collection, name)

        def call(*args: Any, hint: str | None = None, **kwargs: Any) -> Any:
            # mongomock modifies projections, so it gets copies: otherwise each later query would use the changed ones.
            copied_args, copied_kwargs = copy.deepcopy((args, kwargs))
            with LOCK:
                answer = method(*copied_args, **copied_kwargs)
                return Documents(answer) if name == "find" else answer

        return call

    @property
    def name(self) -> str:
        return str(self.collection.name)

    def options(self) -> dict[str, Any]:
        return {}

    def create_indexes(self, indexes: list[IndexModel]) -> None:
        """Create the indexes one by one, because mongomock's own method ignores their conditions."""
        for index in indexes:
            settings = dict(index.document)
            self.create_index(list(settings.pop("key").items()), **settings)


class Documents(list[dict[str, Any]]):
    """A list of documents with the interface of a cursor."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to_list(self, length: int | None = None) -> list[dict[str, Any]]:
        """Remove the next documents, and return them."""
        documents = self[:length]
        del self[:length]
        return documents


class MongomockTaskManager(MongoTaskManager):
    # It is not shared and not durable, cannot explain, and does not enforce deadlines.
    capabilities = Capabilities()
    connection_class = MongomockConnection
    # mongomock's bulk writes do not accept the arguments that pymongo passes.
    store_update_many = TaskManager.store_update_many

    def check_store(self) -> None:
        """Do nothing: mongomock lacks the stage `$collStats` of this check, and no test drops its collections."""

    @property
    def keeps_server_time(self) -> bool:
        """False: there is no server whose clock could be used, and mongomock has no `$replaceWith`."""
        return False


def open_manager(url: str, **options: Any) -> MongomockTaskManager:
    return MongomockTaskManager(url, ManagerOptions(**options))
