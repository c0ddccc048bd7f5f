"""`SQLTaskManager`: the primitives of a task manager in SQL, in the order of `store/primitives.py`."""

from __future__ import annotations

import math
import operator
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from module_sdk.backends import (
    Change,
    ConfigurationError,
    Diagnosis,
    Explanation,
    ManagerOptions,
    Query,
    Sort,
    StoredRows,
    TaskBackendError,
    TaskManager,
    TaskRecord,
)
from module_sdk_sql.dialects.base import Connection
from module_sdk_sql.dialects.factory import choose_dialect
from module_sdk_sql.filters import where
from module_sdk_sql.migrations import read_whole_version, upgrade, version_in
from module_sdk_sql.pool import SCHEMA_CHECK_SECONDS, Pool
from module_sdk_sql.queries import Statement, Statements
from module_sdk_sql.records import RECORD_COLUMNS, column_values, has_payloads, present_values, with_times
from module_sdk_sql.schema import PAYLOAD_COLUMNS, Tables

Result = TypeVar("Result")

MAXIMUM_PAUSE_SECONDS: Final = 0.01


class SQLTaskManager(TaskManager):
    """A manager of tasks in a SQL database; docs/choosing-a-store.md describes each database and its limits."""

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        super().__init__(url, options)
        self.dialect = choose_dialect(self.url, self.options)
        self.capabilities = self.dialect.capabilities
        # The base class made this before the capabilities were known, which decide whether connecting can hang.
        self.opening = self.new_opening()
        self.tables = Tables(
            self.options.namespace, self.dialect.types, separate_payload_table=self.dialect.separate_payload_table
        )
        self.statements = Statements(self.dialect, self.tables)
        self.pool = Pool(self.dialect, self.recheck_schema)

    # --- Opening and closing ----------------------------------------------------------------------------------------

    def store_open(self, create: bool, deadline: float) -> None:
        if not self.dialect.prepare_location(create):
            raise self.missing_schema()
        # This checks the whole schema, so the pool must not check it meanwhile.
        due_at, self.pool.schema_check_due_at = self.pool.schema_check_due_at, math.inf
        try:
            with self.pool.connection(deadline) as connection:
                self.ensure_schema(connection, create, deadline)
                self.declare_durability(self.dialect.is_durable(connection, deadline))
            due_at = self.next_schema_check()
        finally:
            self.pool.schema_check_due_at = due_at

    def next_schema_check(self) -> float:
        """Return when the pool must check the schema again: never in memory, where nobody else can change it."""
        return time.monotonic() + SCHEMA_CHECK_SECONDS if self.dialect.capabilities.shared else math.inf

    def recheck_schema(self, connection: Connection, deadline: float) -> None:
        """Raise the errors of `store_open` about the schema, at the price of one round trip."""
        check = self.statements.check_version().sql
        self.check_version(lambda: version_in(connection.fetch(check, (), deadline)))

    def ensure_schema(self, connection: Connection, create: bool, deadline: float) -> None:
        """Raise `ConfigurationError` unless the schema has this version. With `create`, upgrade it first."""

        def read() -> int:
            found = read_whole_version(connection, self.statements, deadline)
            if create and found < self.tables.version:
                found = max(upgrade(connection, self.statements, deadline), self.tables.version)
            return found

        self.check_version(read)

    def check_version(self, read: Callable[[], int]) -> None:
        """Raise `ConfigurationError` unless `read` returns the version that this code knows."""
        try:
            found = read()
        except ValueError as error:
            raise ConfigurationError(f"{self.url}: {self.tables.meta_name} contains no version: {error}") from error
        if found > self.tables.version:
            raise self.newer_schema(found, self.tables.version)
        if found == 0:
            raise self.missing_schema()
        if found < self.tables.version:
            raise ConfigurationError(
                f"the schema of {self.url} has version {found}, this module-sdk needs {self.tables.version}: "
                "run 'module-sdk setup'"
            )

    def store_ping(self, deadline: float) -> None:
        with self.pool.connection(deadline) as connection:
            self.recheck_schema(connection, deadline)

    def store_close(self) -> None:
        self.pool.close()

    # --- One task ---------------------------------------------------------------------------------------------------

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        if self.dialect.returns_existing:
            return self.retry_on_deadlock(lambda: self.insert_or_return(record, deadline), deadline)
        existing = self.statements.existing()
        arguments = existing.bind(
            {"id": record.id, "organization": record.organization_id, "active_key": record.active_key}
        )
        moves_times = not record.is_of_one_moment()
        while True:
            new = self.insert(record, deadline, moves_times=moves_times)
            if new is not None:
                return new
            found = [TaskRecord._make(row) for row in self.pool.fetch(existing.sql, arguments, deadline) if row]
            if found:
                return next((other for other in found if other.id == record.id), found[0])
            # No task prevents the insert: the record needs other times, or the holder ended between the statements.
            moves_times = True

    def insert_or_return(self, record: TaskRecord, deadline: float) -> TaskRecord:
        """Insert the record and return the inserted or existing one, in one round trip."""
        values = present_values(record)
        statement = self.statements.insert_or_return(tuple(values), self.keeps_server_time)
        arguments = statement.bind({**values, "horizon": record.horizon()})
        with self.pool.connection(deadline) as connection:
            (row,) = connection.fetch(statement.sql, arguments, deadline)
        if row is None:
            raise TaskBackendError(f"the existing task that prevents the insert of {record.id} cannot be decoded")
        return TaskRecord._make(row)

    def insert(
        self, record: TaskRecord, deadline: float, *, as_given: bool = False, moves_times: bool = False
    ) -> TaskRecord | None:
        """Return the inserted record, or `None` if its id exists, its key has a holder, or its times must be moved.

        With `moves_times` the insert moves the times if it has to. With `as_given` it keeps them in any case.
        """
        values = present_values(record)
        names = tuple(values)
        if as_given:
            statement = self.statements.insert_unless_existing(names)
        else:
            find = self.statements.insert_moved if moves_times else self.statements.insert_in_order
            statement = find(names, self.keeps_server_time)
        arguments = statement.bind({**values, "horizon": record.horizon()})

        def insert(connection: Connection, deadline: float) -> TaskRecord | None:
            if not moves_times:
                return record if connection.execute(statement.sql, arguments, deadline) == 1 else None
            rows = connection.fetch_changed(statement.sql, arguments, deadline)
            return with_times(record, rows[0]) if rows and rows[0] else None

        if not self.tables.separate_payload_table or not has_payloads(record):
            return self.retry_on_deadlock(lambda: self.pool.write(insert, deadline), deadline)
        payloads = self.statements.insert_payloads()
        more_arguments = payloads.bind(column_values(record))

        def insert_both(connection: Connection, deadline: float) -> TaskRecord | None:
            new = insert(connection, deadline)
            if new is not None:
                connection.execute(payloads.sql, more_arguments, deadline)
            return new

        return self.pool.transact(insert_both, deadline)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        try:
            return self.retry_on_deadlock(lambda: self.import_batch(records, deadline), deadline)
        except Exception as error:
            if not self.dialect.is_duplicate(error):
                raise
        # A key of the batch has a holder, or another import has just written one of the records, so the batch was
        # rolled back. The records are inserted one by one, up to the first whose key has a holder.
        written = 0
        for record in records:
            if self.insert(record, deadline, as_given=True) is not None:
                written += 1
            elif self.store_get(record.id, None, deadline) is None:
                raise self.key_is_held(record.id)
        return written

    def import_batch(self, records: Sequence[TaskRecord], deadline: float) -> int:
        """Insert all records with new ids in one transaction, or none of them, and return their number."""
        with self.pool.transaction(deadline) as connection:
            ids = list(dict.fromkeys(record.id for record in records))
            condition, parameters = self.dialect.any_of("id", "ids", ids)
            existing = self.statements.existing_ids(condition)
            # A plan that was made for a small table would read the whole table for each batch.
            found = connection.fetch_with_custom_plan(existing.sql, existing.bind(parameters), deadline)
            taken = {row[0] for row in found if row}
            new = []
            for record in records:
                if record.id not in taken:
                    taken.add(record.id)
                    new.append(record)
            load(connection, self.statements.insert(), new, deadline)
            if self.tables.separate_payload_table:
                load(connection, self.statements.insert_payloads(), filter(has_payloads, new), deadline)
            return len(new)

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        statement = self.statements.get(organization is not None)
        arguments = statement.bind({"id": task_id, "organization": organization})
        rows = self.pool.fetch(statement.sql, arguments, deadline)
        if not rows:
            return None
        if rows[0] is None:
            raise TaskBackendError(f"the stored task {task_id} cannot be decoded")
        return TaskRecord._make(rows[0])

    # --- Lookups ----------------------------------------------------------------------------------------------------

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        if limit is None:
            return self.pool.fetch(self.statements.find_by_user(False).sql, (organization, user), deadline)
        return self.pool.fetch(self.statements.find_by_user(True).sql, (organization, user, limit), deadline)

    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        if limit is None:
            return self.pool.fetch(self.statements.find_by_key(False).sql, (organization, key), deadline)
        return self.pool.fetch(self.statements.find_by_key(True).sql, (organization, key, limit), deadline)

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        statement = self.statements.find_by_prefix(end is not None, limit is not None)
        arguments = [value for value in (organization, start, end, limit) if value is not None]
        return self.pool.fetch(statement.sql, arguments, deadline)

    # --- Changes ----------------------------------------------------------------------------------------------------

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        fields, separate = self.divided(change)
        statement = self.statements.update(
            tuple(fields),
            change.allowed,
            (change.starts, change.ends, self.keeps_server_time),
            organization is not None,
        )
        arguments = statement.bind({**fields, "id": task_id, "organization": organization, "now": change.now})
        if not separate:
            rows = self.retry_on_deadlock(lambda: self.pool.fetch_changed(statement.sql, arguments, deadline), deadline)
            return rows[0] if rows else None

        def update_both(connection: Connection, deadline: float) -> Sequence[Any] | None:
            rows = connection.fetch_changed(statement.sql, arguments, deadline)
            if not rows:
                return None
            self.write_payloads(connection, task_id, separate, deadline)
            return rows[0]

        return self.pool.transact(update_both, deadline)

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        fields, separate = self.divided(change)
        statement = self.statements.update_only(
            tuple(fields),
            change.allowed,
            (change.starts, change.ends, self.keeps_server_time),
            organization is not None,
        )
        values = {**fields, "organization": organization, "now": change.now}

        def update_all(connection: Connection, deadline: float) -> int:
            changed = 0
            for task_id in task_ids:
                if connection.execute(statement.sql, statement.bind({**values, "id": task_id}), deadline):
                    changed += 1
                    if separate:
                        self.write_payloads(connection, task_id, separate, deadline)
            return changed

        return self.retry_on_deadlock(lambda: self.pool.transact(update_all, deadline), deadline)

    def divided(self, change: Change) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields of the task's own row, and the payloads that have a separate table."""
        fields = dict(sorted(change.fields.items()))
        separate: dict[str, Any] = {}
        if self.tables.separate_payload_table:
            separate = {name: fields.pop(name) for name in PAYLOAD_COLUMNS if name in fields}
        return fields, separate

    def write_payloads(self, connection: Connection, task_id: str, payloads: dict[str, Any], deadline: float) -> None:
        names = tuple(payloads)
        only_clears = all(value is None for value in payloads.values())
        statement = self.statements.clear_payloads(names) if only_clears else self.statements.put_payloads(names)
        connection.execute(statement.sql, statement.bind({**payloads, "id": task_id}), deadline)

    # --- The read model ---------------------------------------------------------------------------------------------

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        conditions, values = where(query, self.dialect)
        statement = self.statements.page(conditions, sort)
        arguments = statement.bind({**values, "limit": limit, "offset": offset})
        return self.pool.fetch(statement.sql, arguments, deadline, is_planned=True)

    def store_count(self, query: Query, deadline: float) -> int:
        conditions, values = where(query, self.dialect)
        statement = self.statements.count(conditions)
        (row,) = self.pool.fetch(statement.sql, statement.bind(values), deadline, is_planned=True)
        return int(row[0]) if row else 0

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        statement = self.statements.prune(organization is not None, user is not None)
        arguments = statement.bind({"before": before, "batch": batch_size, "organization": organization, "user": user})
        if not self.tables.separate_payload_table:
            return self.retry_on_deadlock(lambda: self.pool.execute(statement.sql, arguments, deadline), deadline)
        with self.pool.transaction(deadline) as connection:
            removed = connection.fetch(statement.sql, arguments, deadline)
            connection.execute_many(self.statements.delete_payloads().sql, (row for row in removed if row), deadline)
        return len(removed)

    # --- Insight ----------------------------------------------------------------------------------------------------

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        is_limited = limit is not None
        if operation == "list_user_tasks":
            statement = self.statements.find_by_user(is_limited)
        elif operation == "get_tasks_by_key":
            statement = self.statements.find_by_key(is_limited)
        else:
            statement = self.statements.find_by_prefix(arguments[-1] is not None, is_limited)
        values = [value for value in (*arguments, limit) if value is not None]
        with self.pool.connection(deadline) as connection:
            plan, rows_examined = connection.explain(statement.sql, values, deadline)
        return Explanation(plan, rows_examined, selected_fields(statement.sql))

    def store_diagnose(self, deadline: float) -> Diagnosis:
        with self.pool.connection(deadline) as connection:
            diagnosis = self.dialect.diagnose(connection, deadline)
            self.ensure_schema(connection, False, deadline)
            diagnosis.facts["schema version"] = str(self.tables.version)
        return diagnosis

    def store_after_fork(self) -> None:
        self.pool.reset_after_fork()

    def retry_on_deadlock(self, write: Callable[[], Result], deadline: float) -> Result:
        """Return the result of `write`; retry it while the database rolls it back in favour of another writer."""
        while True:
            try:
                return write()
            except Exception as error:
                if not self.dialect.is_deadlock(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(random.uniform(0, MAXIMUM_PAUSE_SECONDS))  # noqa: S311  # separates the two writers

    def is_unavailable(self, error: Exception) -> bool:
        return self.dialect.is_unavailable(error)

    def is_missing_schema(self, error: Exception) -> bool:
        return self.dialect.is_missing_schema(error)

    def setup_fault(self, error: Exception) -> str | None:
        return self.dialect.setup_fault(error)


def load(connection: Connection, statement: Statement, records: Iterable[TaskRecord], deadline: float) -> None:
    indexes = [RECORD_COLUMNS.index(name) for name in statement.names]
    connection.load(statement.sql, map(operator.itemgetter(*indexes), records), deadline)


def selected_fields(sql: str) -> tuple[str, ...]:
    """Return the fields between the first SELECT and its FROM."""
    listed = sql.removeprefix("SELECT ").partition(" FROM ")[0]
    return tuple(name.strip().rpartition(".")[2] for name in listed.split(","))
