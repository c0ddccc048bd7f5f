"""What keeps the writers of a store waiting, for the hook `hold_lock` of several suites: a lock that others hold."""

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
    """While in the block another connection, or another thread where there is one connection only, holds the lock."""
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
    """A transaction that others cannot write beside, and on a server not read beside."""
    manager.ping()
    deadline = time.monotonic() + LONGEST_SECONDS
    name = manager.tables.tasks_name
    # SQLite's transaction has the lock of the file from its beginning.
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
    """A Redis or Valkey that answers no command that may write."""
    client.execute_command("CLIENT", "PAUSE", int(LONGEST_SECONDS * 1_000), "WRITE")
    try:
        yield
    finally:
        client.execute_command("CLIENT", "UNPAUSE")


@contextlib.contextmanager
def locked_server(url: str) -> Iterator[None]:
    """A MongoDB that is locked against writes, as for a backup of its files."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        client.admin.command("fsync", lock=True)
        try:
            yield
        finally:
            client.admin.command("fsyncUnlock")
