"""MariaDB through mysqlclient, whose converters decode our binary columns in C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import MySQLdb
from MySQLdb.constants import CLIENT, FIELD_TYPE
from MySQLdb.converters import conversions

from benchmarks.references.base import Reference
from benchmarks.references.rows import ROW_COLUMNS, NewTask, Row, encoded, now, rows_of
from benchmarks.references.sql import COLUMNS, SQLReference, Statements
from module_sdk.domain.record import TaskRecord

DECODED = dict.fromkeys((FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.BLOB), str)


class MariaDBReference(SQLReference):
    def __init__(self, url: str, namespace: str) -> None:
        self.location = (url, namespace)
        parts = urlsplit(url)
        self.connection = MySQLdb.connect(
            host=parts.hostname,
            port=parts.port,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=parts.path[1:],
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.MULTI_STATEMENTS,
            conv={**conversions},
        )
        self.connection.converter.update(DECODED)
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.statements = own = Statements(namespace, mark="%s", latest="greatest", hint=" FORCE INDEX ({})")
        self.insert = f"{own.insert} ON DUPLICATE KEY UPDATE id = id RETURNING {ROW_COLUMNS}"
        # UPDATE has no RETURNING. One transaction in one round trip keeps other writers out between the two statements.
        self.update = f"START TRANSACTION; {own.update_progress}; {own.row}; COMMIT"
        self.complete_task = f"START TRANSACTION; {own.complete.format(payloads=', result = %s')}; {own.row}; COMMIT"
        self.load_task = own.insert_into(own.table, COLUMNS)

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        self.cursor.execute(sql, arguments)
        fetched: Sequence[Sequence[Any]] = self.cursor.fetchall()
        return fetched

    def changed(self, sql: str, arguments: Sequence[Any]) -> Row | None:
        self.cursor.execute(sql, arguments)
        self.cursor.nextset()
        changed = self.cursor.rowcount
        self.cursor.nextset()
        stored = self.cursor.fetchall()
        self.cursor.nextset()
        return rows_of(stored)[0] if changed else None

    def create(self, task: NewTask) -> tuple[Row, bool]:
        (row,) = rows_of(self.fetch(self.insert, task.columns))
        return row, row["id"] == task.id

    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        return self.changed(self.update, (progress, now(), task_id, str(organization_id), task_id))

    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        moment = now()
        arguments = (moment, moment, encoded(result), task_id, str(organization_id), task_id)
        return self.changed(self.complete_task, arguments)

    def load(self, records: Sequence[TaskRecord]) -> None:
        self.cursor.execute("BEGIN")
        self.cursor.executemany(self.load_task, records)
        self.cursor.execute("COMMIT")

    def for_another_thread(self) -> Reference:
        return MariaDBReference(*self.location)

    def close(self) -> None:
        self.connection.close()
