"""Locks that block the writers of a store, for the hook `hold_lock` of several suites."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import pymongo
import redis
from module_sdk_contract.harness import Store
from module_sdk_memory.manager import MemoryTaskManager
from module_sdk_mongo.manager import MongoTaskManager
from module_sdk_sql.manager import SQLTaskManager

LONGEST_SECONDS: Final = 60.0


def lock_of(store: Store) -> contextlib.AbstractContextManager[object]:
    """Return a context manager that blocks the writers of the store.

    Another connection holds the lock, or another thread if the store is in one process.
    """
    manager = store.manager
    if isinstance(manager, MemoryTaskManager):
        return held_by_a_thread(manager.tables.lock)
    if isinstance(manager, SQLTaskManager):
        if "shared" not in store.capabilities:
            return held_by_a_thread(manager.pool.connection(time.monotonic() + LONGEST_SECONDS))
        other: Any = store.open()
        return locked_tables(other)
    assert isinstance(manager, MongoTaskManager)
    return locked_server(store.url)


@contextlib.contextmanager
def held_by_a_thread(lock: contextlib.AbstractContextManager[object]) -> Iterator[None]:
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait(LONGEST_SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert taken.wait(LONGEST_SECONDS)
        yield
    finally:
        done.set()
        holder.join()


@contextlib.contextmanager
def locked_tables(manager: SQLTaskManager) -> Iterator[None]:
    """Hold a transaction that blocks other writers, and on a server other readers, too."""
    manager.ping()
    deadline = time.monotonic() + LONGEST_SECONDS
    name = manager.tables.tasks_name
    # A transaction on SQLite takes the lock of the file when it begins.
    lock, unlock = {
        "postgresql": (f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE", ""),
        "mariadb": (f"LOCK TABLES {name} WRITE", "UNLOCK TABLES"),
    }.get(manager.url.scheme.partition("+")[0], ("", ""))
    with manager.pool.transaction(deadline) as connection:
        if lock:
            connection.execute(lock, (), deadline)
        yield
        if unlock:
            connection.execute(unlock, (), deadline)


@contextlib.contextmanager
def paused_server(client: redis.Redis) -> Iterator[None]:
    """Pause all commands that may write on a Redis or Valkey server."""
    client.execute_command("CLIENT", "PAUSE", int(LONGEST_SECONDS * 1_000), "WRITE")
    try:
        yield
    finally:
        client.execute_command("CLIENT", "UNPAUSE")


@contextlib.contextmanager
def locked_server(url: str) -> Iterator[None]:
    """Lock a MongoDB server against writes, as for a backup of its files."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        client.admin.command("fsync", lock=True)
        try:
            yield
        finally:
            client.admin.command("fsyncUnlock")
