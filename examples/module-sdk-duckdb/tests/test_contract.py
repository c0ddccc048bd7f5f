"""The DuckDB backend meets the contract of every store of module-sdk."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Final, cast

import duckdb
from module_sdk_contract import Deviation, Store, TaskManagerContract
from module_sdk_duckdb.manager import DuckDBTaskManager

HEADER_BYTES: Final = 12_288


class TestDuckDB(TaskManagerContract):
    """`manager_url` alone suffices to run the suite. The deviation and the hooks make all of it apply."""

    deviations = (
        Deviation("SEE-07", "DuckDB locks its file for the parent: a forked child fails", datetime.date(2030, 1, 1)),
    )

    def manager_url(self, tmp_path: Path) -> str:
        return f"duckdb:///{tmp_path / 'tasks.duckdb'}"

    def dump(self, store: Store) -> Iterable[object]:
        return run(store, f"FROM {store.namespace}__tasks")

    def corrupt(self, store: Store, task_id: str) -> None:
        run(store, f"UPDATE {store.namespace}__tasks SET status = 'lost' WHERE id = '{task_id}'")

    def dead_url(self, store: Store) -> str:
        path = store.tmp_path / "dead.duckdb"
        with duckdb.connect(path) as connection:
            connection.execute("CREATE TABLE something AS FROM range(10)")
        whole = path.read_bytes()
        path.write_bytes(whole[:HEADER_BYTES].ljust(len(whole), b"\xa5"))
        return f"duckdb:///{path}"

    def write_newer_schema(self, store: Store) -> None:
        run(store, f"UPDATE {store.namespace}__meta SET version = 99")

    def empty_store(self, store: Store) -> None:
        run(store, f"DROP TABLE {store.namespace}__tasks")
        run(store, f"DROP TABLE {store.namespace}__meta")


def run(store: Store, sql: str) -> list[tuple[object, ...]]:
    """Run SQL on the connection of the manager, since another process could not open the file."""
    connection = cast("DuckDBTaskManager", store.manager).database.connection
    assert connection is not None
    return connection.execute(sql).fetchall()
