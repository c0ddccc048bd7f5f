"""Tasks in one DuckDB file: the `store_…` methods. Everything common to all stores is in the base class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb

from module_sdk.backends import (
    Capabilities,
    Change,
    ConfigurationError,
    Diagnosis,
    ManagerOptions,
    Query,
    Sort,
    StoredRows,
    TaskManager,
    TaskRecord,
)
from module_sdk_duckdb.database import Database, Run
from module_sdk_duckdb.statements import SCHEMA_VERSION, Statements, sort_key, stored


class DuckDBTaskManager(TaskManager):
    """`duckdb:///tasks.duckdb`, or `duckdb:////absolute/path.duckdb`."""

    # Acknowledged tasks are on disk. Not `shared`: DuckDB locks the file for one process. Not `bounded`: a statement
    # takes no deadline. Not `explain`: for more than 2,048 matches DuckDB scans the table instead of the index.
    capabilities = Capabilities(durable=True)

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        super().__init__(url, options)
        self.options.refuse_unknown()
        self.path = path_of(self.url.text)
        self.database = Database(self.path)
        self.statements = Statements(self.options.namespace)

    # --- Life -------------------------------------------------------------------------------------------------------

    def store_open(self, create: bool, deadline: float) -> None:
        if not create and not self.path.exists():
            raise self.missing_schema()
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"the folder {self.path.parent} does not exist: create it first")
        self.database.open(deadline)
        ((has_schema,),) = self.database.fetch(self.statements.has_schema, (), deadline)
        if not has_schema and not create:
            raise self.missing_schema()

        def set_up(run: Run) -> int:
            for statement in self.statements.create_schema if create else ():
                run(statement, ())
            return int(run(self.statements.version, ())[0][0])

        version = self.database.transact(set_up, deadline)
        if version > SCHEMA_VERSION:
            raise self.newer_schema(version, SCHEMA_VERSION)

    def store_ping(self, deadline: float) -> None:
        self.database.fetch(self.statements.version, (), deadline)

    def store_close(self) -> None:
        self.database.close()

    def store_after_fork(self) -> None:
        self.database.forget()

    # --- Writes -----------------------------------------------------------------------------------------------------

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        def find_or_insert(run: Run) -> TaskRecord:
            existing = run(self.statements.get, [record.id])
            if not existing and record.active_key is not None:
                existing = run(self.statements.holder, [record.organization_id, record.active_key])
            if existing:
                return TaskRecord._make(existing[0])
            new = record
            if record.task_key is not None:
                key = sort_key(record.organization_id, record.task_key)
                new = record.after(run(self.statements.newest, [key, record.horizon()])[0][0])
            run(self.statements.insert, stored(new))
            return new

        # Two managers may find no holder at the same time and both insert. The unique index then makes one of the
        # transactions fail. It is retried and finds the other task.
        return self.database.transact(find_or_insert, deadline)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        def insert_until_conflict(run: Run) -> tuple[int, TaskRecord | None]:
            ids = [record.id for record in records]
            known = {task_id for (task_id,) in run(self.statements.known_ids, [ids])}
            held = set(run(self.statements.holders, [[record.active_key for record in records]]))
            fresh: list[TaskRecord] = []
            refused = None
            for record in records:
                if record.id in known:
                    continue
                if (record.organization_id, record.active_key) in held:
                    refused = record
                    break
                known.add(record.id)
                if record.active_key is not None:
                    held.add((record.organization_id, record.active_key))
                fresh.append(record)
            if fresh:
                run(self.statements.insert_many, list(map(list, zip(*map(stored, fresh), strict=True))))
            return len(fresh), refused

        written, refused = self.database.transact(insert_until_conflict, deadline)
        if refused is not None:
            raise self.key_is_held(refused.id)
        return written

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        rows = self.database.fetch(*self.statements.update(task_id, organization, change), deadline)
        return rows[0] if rows else None

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return len(self.database.fetch(*self.statements.prune(before, organization, user, batch_size), deadline))

    # --- Reads ------------------------------------------------------------------------------------------------------

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        for values in self.database.fetch(self.statements.get, [task_id], deadline):
            record = TaskRecord._make(values)
            if organization in (None, record.organization_id):
                return record
        return None

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        return self.database.fetch(self.statements.by_user, [sort_key(organization, user), limit], deadline)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return self.database.fetch(self.statements.by_key, [sort_key(organization, key), limit], deadline)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        above = f"{organization}\x01" if end is None else sort_key(organization, end)
        return self.database.fetch(self.statements.by_prefix, [sort_key(organization, start), above, limit], deadline)

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        return self.database.fetch(*self.statements.page(query, sort, offset, limit), deadline)

    def store_count(self, query: Query, deadline: float) -> int:
        return int(self.database.fetch(*self.statements.count(query), deadline)[0][0])

    # --- Insight and errors -----------------------------------------------------------------------------------------

    def store_diagnose(self, deadline: float) -> Diagnosis:
        (version,) = self.database.fetch(self.statements.version, (), deadline)[0]
        facts = {"server": f"DuckDB {duckdb.__version__}", "file": str(self.path), "schema version": str(version)}
        return Diagnosis(facts, ["DuckDB locks the file: no other process can use it while this one has it open"])

    def is_missing_schema(self, error: Exception) -> bool:
        return isinstance(error, duckdb.CatalogException)

    def is_unavailable(self, error: Exception) -> bool:
        # The file is unreadable or locked by another process, or the transaction conflicted until its deadline.
        return isinstance(error, duckdb.IOException | duckdb.TransactionException)


def path_of(url: str) -> Path:
    """Return the absolute path of the file, so that a later change of the working folder has no effect."""
    path, mark, _ = url.partition("://")[2].partition("?")
    if mark:
        raise ConfigurationError("a DuckDB URL has no options but namespace")
    if not path.startswith("/") or path == "/":
        raise ConfigurationError(
            "a DuckDB URL has no host: write duckdb:///relative.duckdb or duckdb:////absolute/path"
        )
    return Path(unquote(path[1:])).absolute()
