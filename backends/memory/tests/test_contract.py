"""The memory backend meets the contract."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import cast

from module_sdk_contract import TaskManagerContract
from module_sdk_contract.harness import Store
from module_sdk_memory.manager import MemoryTaskManager, Tables

from tests.support.corruption import spoil_somehow
from tests.support.held_locks import lock_of


class TestMemory(TaskManagerContract):
    url = "memory://contract"

    def dump(self, store: Store) -> Iterable[object]:
        tables = tables_of(store)
        return [tables.records, tables.active, tables.by_user, tables.by_key]

    def corrupt(self, store: Store, task_id: str) -> None:
        spoil_somehow(store.manager, task_id)

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return lock_of(store)


def tables_of(store: Store) -> Tables:
    return cast("MemoryTaskManager", store.manager).tables
