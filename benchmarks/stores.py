"""The measured stores: a fresh one of each kind, filled with tasks, with its manager and its reference."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.data import Dataset
from benchmarks.references.base import Reference
from devtools.servers.kinds import MariaDB, MongoDB, PostgreSQL, Valkey
from devtools.servers.process import Server
from module_sdk.domain.task import Task
from module_sdk.facade.managers import open_manager
from module_sdk.store.manager import TaskManager

SERVERS: Final[dict[str, type[Server]]] = {
    "postgresql": PostgreSQL,
    "mariadb": MariaDB,
    "redis": Valkey,
    "mongo": MongoDB,
}
REFERENCES: Final = {
    "memory": "MemoryReference",
    "sqlite": "SQLiteReference",
    "postgresql": "PostgreSQLReference",
    "mariadb": "MariaDBReference",
    "redis": "RedisReference",
    "mongo": "MongoReference",
}
STORES: Final = tuple(REFERENCES)
LOAD_SECONDS: Final = 120
# One per thread of the measurement, as the reference has; the default is half as many.
MAXIMUM_CONNECTIONS: Final = 32
# The default, 128 MiB, has room for 100,000 tasks. With more, both sides read a page from disk for each row found.
OPTIONS: Final = {"mariadb": ("--innodb-buffer-pool-size=2G",)}


@dataclasses.dataclass(frozen=True)
class RunningStore:
    """A store that is ready for connections."""

    store: str
    url: str

    def manager(self, namespace: str) -> TaskManager:
        return open_manager(self.url, namespace=namespace, max_connections=MAXIMUM_CONNECTIONS)

    def reference(self, namespace: str) -> Reference:
        """Connect the hand-written client. Its module is imported here, so that no other driver is needed."""
        module = importlib.import_module(f"benchmarks.references.{self.store}")
        reference: Reference = getattr(module, REFERENCES[self.store])(self.url, namespace)
        return reference


@dataclasses.dataclass(frozen=True)
class Filled:
    """The tasks of one data set in one namespace."""

    dataset: Dataset
    manager: TaskManager
    reference: Reference
    shares: bool
    """Whether manager and reference use the same store. A store in memory belongs to its manager."""

    def put(self, tasks: Sequence[Task]) -> None:
        """Import a few more tasks for the manager and the reference."""
        self.manager.import_tasks(tasks)
        if not self.shares:
            self.reference.load([task.to_record() for task in tasks])

    @property
    def size(self) -> int:
        return self.dataset.size


@contextlib.contextmanager
def started(store: str) -> Iterator[RunningStore]:
    """Yield an empty store. The server is started here unless the environment variable of the tests names one."""
    if store == "memory":
        yield RunningStore(store, "memory://")
    elif store == "sqlite":
        with tempfile.TemporaryDirectory(prefix="module-sdk-benchmark-") as folder:
            yield RunningStore(store, f"sqlite:///{Path(folder, 'tasks.db')}")
    else:
        kind = SERVERS[store]
        own = os.environ.get(kind.variable)
        if own:
            url = kind.create_database(own)
            yield RunningStore(store, url)
            kind.drop_database(url)
        else:
            with kind(*OPTIONS.get(store, ())) as server:
                yield RunningStore(store, server.url)


@contextlib.contextmanager
def filled(store: RunningStore, size: int) -> Iterator[Filled]:
    """Yield a data set of that many tasks, imported by the manager; the reference reads the same tables."""
    dataset = Dataset(size)
    namespace = f"n{size}"
    with contextlib.ExitStack() as stack:
        manager = store.manager(namespace)
        stack.callback(manager.close)
        manager.import_tasks(dataset.tasks(), timeout_seconds=LOAD_SECONDS)
        reference = store.reference(namespace)
        stack.callback(reference.close)
        shares = store.store != "memory"
        if not shares:
            reference.load([task.to_record() for task in dataset.tasks()])
        yield Filled(dataset, manager, reference, shares)
