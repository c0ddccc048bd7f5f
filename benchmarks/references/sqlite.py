"""SQLite through Python's own driver: one connection, write-ahead log, synchronous FULL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from benchmarks.references.base import Reference
from benchmarks.references.rows import ROW_COLUMNS, NewTask, Row, encoded, now, rows_of
from benchmarks.references.sql import COLUMNS, SQLReference, Statements, columns_of, first_row
from module_sdk.domain.record import TaskRecord

PAYLOADS = ("checkpoint", "result", "error", "confirmation", "function_name", "arguments")
# RETURNING returns an integer for a REAL column that contains a whole number.
RETURNING = f" RETURNING {ROW_COLUMNS.replace('progress', 'progress + 0.0')}"


class SQLiteReference(SQLReference):
    def __init__(self, url: str, namespace: str) -> None:
        self.location = (url, namespace)
        path = url.removeprefix("sqlite:///")
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
        self.connection.execute("PRAGMA synchronous=FULL")
        self.statements = own = Statements(namespace, mark="?", latest="max", hint=" INDEXED BY {}")
        payloads = f"{own.table}_payloads"
        self.insert = f"{own.insert} ON CONFLICT DO NOTHING"
        self.update = own.update_progress + RETURNING
        self.complete_task = own.complete.format(payloads="") + RETURNING
        self.put_result = (
            f"INSERT INTO {payloads} (id, result) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET result = excluded.result"
        )
        self.load_task = own.insert_into(own.table, [name for name in COLUMNS if name not in PAYLOADS])
        self.load_payloads = own.insert_into(payloads, ("id", *PAYLOADS))

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return self.connection.execute(sql, arguments).fetchall()

    def create(self, task: NewTask) -> tuple[Row, bool]:
        while True:
            if self.connection.execute(self.insert, task.columns).rowcount == 1:
                return rows_of([task.columns[:10]])[0], True
            holder = first_row(self.fetch(self.statements.holder, (task.organization, task.key)))
            if holder is not None:
                return holder, False

    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        return first_row(self.fetch(self.update, (progress, now(), task_id, str(organization_id))))

    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        moment = now()
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        row = first_row(self.fetch(self.complete_task, (moment, moment, task_id, str(organization_id))))
        if row is not None:
            execute(self.put_result, (task_id, encoded(result)))
        execute("COMMIT")
        return row

    def load(self, records: Sequence[TaskRecord]) -> None:
        columns = [columns_of(record) for record in records]
        self.connection.execute("BEGIN IMMEDIATE")
        tasks = ([one[name] for name in COLUMNS if name not in PAYLOADS] for one in columns)
        self.connection.executemany(self.load_task, tasks)
        payloads = ([one["id"], *(one[name] for name in PAYLOADS)] for one in columns)
        self.connection.executemany(self.load_payloads, payloads)
        self.connection.execute("COMMIT")

    def for_another_thread(self) -> Reference:
        return SQLiteReference(*self.location)

    def close(self) -> None:
        self.connection.close()
