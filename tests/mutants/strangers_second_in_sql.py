"""Bugs that a second stranger put into a store in SQL, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from module_sdk_sql.manager import column_values, has_payloads, present_values
from module_sdk_sql.schema import Tables
from module_sdk_sql.statements import Statements

from module_sdk.backends import Change, ConfigurationError, Explanation, ManagerOptions, TaskRecord
from tests.mutants.bases import SQLMutant
from tests.mutants.strangers_in_sql import ChangedLinks, OfOneProcess

# --- On the servers ---------------------------------------------------------------------------------------------------


class NamespaceCut(SQLMutant):
    """Names tables by the first 20 characters of the namespace."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        namespace = options.namespace[:20]
        self.tables = Tables(namespace, self.dialect.types, payloads_apart=self.dialect.payloads_apart)
        self.statements = Statements(self.dialect, self.tables)


class EstimatesExplained(SQLMutant):
    """Gives the rows that the planner of PostgreSQL expects."""

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        found = super().store_explain(operation, arguments, limit, deadline)
        plan = json.loads(found.plan)[0]["Plan"]
        while plan.get("Plans"):
            plan = plan["Plans"][0]
        return dataclasses.replace(found, rows_examined=int(plan["Plan Rows"]))


class ImportInOneStatement(ChangedLinks):
    """Sends an import as one INSERT, however large; MariaDB takes 16 MiB."""

    def changed(self, link: Any) -> Any:
        def load(insert: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
            together = list(rows)
            if together:
                head, _, values = insert.partition(" VALUES ")
                sql = f"{head} VALUES {', '.join([values] * len(together))}"
                link.execute(sql, list(itertools.chain.from_iterable(together)), deadline)

        link.load = load
        return link


# --- In a file --------------------------------------------------------------------------------------------------------


class ProgressWrittenLater(OfOneProcess):
    """Keeps progress in memory until the next call."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pending: dict[str, Change] = {}
        self.one_at_a_time = threading.RLock()

    def call_open(self, primitive: Callable[..., Any], *args: Any) -> Any:
        with self.one_at_a_time:
            self.flush()
            return super().call_open(primitive, *args)

    def flush(self) -> None:
        while self.pending:
            task_id, change = self.pending.popitem()
            super().store_update(task_id, None, change, time.monotonic() + 10)

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or record.status not in change.allowed or set(change.fields) != {"progress"}:
            return super().store_update(task_id, organization, change, deadline)
        self.pending[task_id] = change
        return record._replace(**change.fields, updated_at=max(change.now, record.updated_at + 1)).row()

    def store_close(self) -> None:
        self.flush()
        super().store_close()


class NoTimeLeftUntyped(SQLMutant):
    """A call that begins with no time left fails as whatever the driver says to that."""

    def call_open(self, primitive: Callable[..., Any], *args: Any) -> Any:
        return super().call_open(out_of_range if time.monotonic() >= args[-1] else primitive, *args)


def out_of_range(*_: Any) -> None:
    raise ValueError("timeout value out of range")


class CreateInTwoCommits(SQLMutant):
    """Commits the task, and then its payloads."""

    def insert(self, record: TaskRecord, deadline: float, *, as_given: bool = False) -> TaskRecord | None:
        values = present_values(record)
        statement = self.statements.insert_unless_standing(tuple(values))
        if self.pool.execute(statement.sql, statement.bind(values), deadline) != 1:
            return None
        if has_payloads(record):
            payloads = self.statements.insert_payloads()
            self.pool.execute(payloads.sql, payloads.bind(column_values(record)), deadline)
        return record


class PrunedPayloadsUpTo500(ChangedLinks):
    """Deletes the payloads of no more than 500 tasks at once."""

    def changed(self, link: Any) -> Any:
        execute_many = link.execute_many

        def up_to_500(sql: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
            execute_many(sql, itertools.islice(rows, 500) if sql.startswith("DELETE") else rows, deadline)

        link.execute_many = up_to_500
        return link


class PayloadsOf64KiB(SQLMutant):
    """Results, confirmations and arguments lie in columns of 65,535 bytes."""

    def refuse(self, values: Mapping[str, Any]) -> None:
        for name in ("result", "confirmation", "arguments"):
            if len((values.get(name) or "").encode()) > 65_535:
                raise sqlite3.DataError(f"data too long for column {name}")

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.refuse(record._asdict())
        return super().store_create(record, deadline)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        for record in records:
            self.refuse(record._asdict())
        return super().store_import(records, deadline)

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        self.refuse(change.fields)
        return super().store_update(task_id, organization, change, deadline)


class CauseOfOpeningLost(SQLMutant):
    """Raises what keeps the store from opening without its cause."""

    def store_open(self, create: bool, deadline: float) -> None:
        try:
            super().store_open(create, deadline)
        except Exception as error:
            failure = error if isinstance(error, ConfigurationError) else self.translate_error(error)
        else:
            return
        raise type(failure)(str(failure))
