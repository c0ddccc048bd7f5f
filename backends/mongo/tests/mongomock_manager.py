"""The MongoDB backend on mongomock, a MongoDB in memory: no server, and not all that a server does."""

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
# Calls are atomic, as a server's are, and none is under way at a fork.
LOCK: Final = threading.RLock()
os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


class MongomockConnection(Connection):
    def open(self) -> None:
        super().open()
        self.tasks = cast("Any", MongomockCollection(self.database[self.tasks.name]))

    def check_role(self) -> None:
        """There is one server."""

    def new_client(self) -> Any:
        return mongomock.MongoClient(self.url.text, _store=SERVER)


class MongomockCollection:
    """A collection that takes the name of an index and forgets it, and keeps to the condition of a partial one."""

    def __init__(self, collection: Any) -> None:
        check_uniqueness = collection._ensure_uniques

        def check_if_indexed(document: dict[str, Any]) -> None:
            # The check looks at every document.
            if "active_key" in document:
                check_uniqueness(document)

        collection._ensure_uniques = check_if_indexed
        self.collection = collection

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.collection, name)

        def call(*args: Any, hint: str | None = None, **kwargs: Any) -> Any:
            # It changes projections in place: its own copies, or every later query of this process has them too.
            own, named = copy.deepcopy((args, kwargs))
            with LOCK:
                answer = method(*own, **named)
                return Documents(answer) if name == "find" else answer

        return call

    @property
    def name(self) -> str:
        return str(self.collection.name)

    def options(self) -> dict[str, Any]:
        return {}

    def create_indexes(self, indexes: list[IndexModel]) -> None:
        """One by one: mongomock's own drops the conditions."""
        for index in indexes:
            settings = dict(index.document)
            self.create_index(list(settings.pop("key").items()), **settings)


class Documents(list[dict[str, Any]]):
    """What stands for a cursor."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to_list(self, length: int | None = None) -> list[dict[str, Any]]:
        """The next documents, which are then no longer to come."""
        taken = self[:length]
        del self[:length]
        return taken


class MongomockTaskManager(MongoTaskManager):
    # Nothing is shared, kept, explained or ended at a deadline.
    capabilities = Capabilities()
    connection_class = MongomockConnection
    # Its bulk writes do not take what pymongo passes.
    store_update_many = TaskManager.store_update_many

    def look(self) -> None:
        """There is no such aggregation, and nobody drops a collection."""

    @property
    def keeps_server_time(self) -> bool:
        """It has no server, whose clock could count, and knows no `$replaceWith`."""
        return False


def open_manager(url: str, **options: Any) -> MongomockTaskManager:
    return MongomockTaskManager(url, ManagerOptions(**options))
