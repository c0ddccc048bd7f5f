"""A suite for each mutant. Not collected with the other tests: see `selection.py`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from module_sdk_contract import TaskManagerContract
from module_sdk_contract.harness import Store
from module_sdk_contract.marks import clauses_of_function, deciding_tests
from module_sdk_contract.under_test import StoreUnderTest
from module_sdk_memory.manager import MemoryTaskManager
from module_sdk_sql.manager import SQLTaskManager

from tests.mutants.bases import Opened, SQLMutant
from tests.mutants.registry import STORES, clauses_named, opener_of


class MutantUnderTest(StoreUnderTest):
    time_limit_seconds = 30

    def manager_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'tasks.db'}" if "SQL" in type(self).__name__ else "memory://mutants"

    def dump(self, store: Store) -> Iterable[object]:
        tables = cast("MemoryTaskManager", store.manager).tables
        return [tables.records, tables.active, tables.by_user, tables.by_key]

    def corrupt(self, store: Store, task_id: str) -> None:
        records = cast("MemoryTaskManager", store.manager).tables.records
        records[task_id] = records[task_id]._replace(status="no such status")

    def write_newer_schema(self, store: Store) -> None:
        manager = cast("SQLTaskManager", store.manager)
        manager.pool.execute(f"UPDATE {manager.tables.meta_name} SET value = '99'", (), time.monotonic() + 10)


def suite(store: type[Opened]) -> type[MutantUnderTest]:
    """A class of the tests that decide the clauses named for the store."""
    kind = "SQL" if issubclass(store, SQLMutant) else "Memory"
    named = clauses_named(store)
    chosen = {name: test for name, test in deciding_tests(TaskManagerContract) if named & clauses_of_function(test)}
    return type(f"Test{kind}_{store.__name__}", (MutantUnderTest,), {"opener": opener_of(store), **chosen})


globals().update({made.__name__: made for made in map(suite, STORES)})
