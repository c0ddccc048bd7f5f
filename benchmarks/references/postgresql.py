"""PostgreSQL through psycopg 3: prepared statements, generic plans, one binary cursor, COPY for bulk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.types.numeric import Int8BinaryDumper

from benchmarks.references.base import Reference
from benchmarks.references.rows import ROW_COLUMNS, NewTask, Row, encoded, now, rows_of
from benchmarks.references.sql import COLUMNS, SQLReference, Statements, first_row
from module_sdk.domain.record import TaskRecord


class PostgreSQLReference(SQLReference):
    def __init__(self, url: str, namespace: str) -> None:
        self.location = (url, namespace)
        self.connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        # Without it, psycopg prepares another statement for each size of integer.
        self.connection.adapters.register_dumper(int, Int8BinaryDumper)
        self.cursor = self.connection.cursor(binary=True)
        self.cursor.execute("SET plan_cache_mode = force_generic_plan")
        self.statements = own = Statements(namespace, mark="%s", latest="greatest")
        self.insert = f"{own.insert} ON CONFLICT DO NOTHING"
        self.update = f"{own.update_progress} RETURNING {ROW_COLUMNS}"
        self.complete_task = own.complete.format(payloads=", result = %s") + f" RETURNING {ROW_COLUMNS}"

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return self.cursor.execute(sql, arguments).fetchall()

    def create(self, task: NewTask) -> tuple[Row, bool]:
        while True:
            if self.cursor.execute(self.insert, task.columns).rowcount == 1:
                return rows_of([task.columns[:10]])[0], True
            holder = first_row(self.fetch(self.statements.holder, (task.organization, task.key)))
            if holder is not None:
                return holder, False

    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        return first_row(self.fetch(self.update, (progress, now(), task_id, str(organization_id))))

    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        moment = now()
        arguments = (moment, moment, encoded(result), task_id, str(organization_id))
        return first_row(self.fetch(self.complete_task, arguments))

    def load(self, records: Sequence[TaskRecord]) -> None:
        statement = f"COPY {self.statements.table} ({', '.join(COLUMNS)}) FROM STDIN"
        with self.cursor.copy(statement) as copy:
            for record in records:
                copy.write_row(record)

    def for_another_thread(self) -> Reference:
        return PostgreSQLReference(*self.location)

    def close(self) -> None:
        self.connection.close()
