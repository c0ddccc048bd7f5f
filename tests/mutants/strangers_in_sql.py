"""Bugs that a stranger put into a store in SQL, on a file of SQLite."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from module_sdk_sql.manager import column_values, has_payloads, present_values
from module_sdk_sql.pool import Pool
from module_sdk_sql.schema import PAYLOAD_COLUMNS
from module_sdk_sql.statements import Statement, Statements

from module_sdk.backends import Capabilities, Change, ManagerOptions, Query, Sort, StoredRows, TaskRecord
from tests.mutants.bases import SQLMutant
from tests.mutants.statements import SQLStatementMutant
from tests.mutants.stores import PayloadsNotKept
from tests.mutants.strangers_reading import ForgetsAtWrites

OPTION_AMONG_TERMS = re.compile(r"\((t\.\w+ IS NULL OR (?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")
"""`(a IS NULL OR …)`."""

# --- Statements -------------------------------------------------------------------------------------------------------


class GetScopedSwapped(SQLMutant):
    """Binds id and organization the wrong way round, where it has both."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        if organization is None:
            return super().store_get(task_id, None, deadline)
        return super().store_get(organization, task_id, deadline)


class UpdateScopedSwapped(SQLMutant):
    """Binds id and organization of an UPDATE the wrong way round, where it has both."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if organization is None:
            return super().store_update(task_id, None, change, deadline)
        return super().store_update(organization, task_id, change, deadline)


class NoParentheses(SQLStatementMutant):
    """`a IS NULL OR a = ?` stands bare among terms that AND joins."""

    def rewrite(self, sql: str) -> str:
        return OPTION_AMONG_TERMS.sub(r"\1", sql)


class ChangedLinks(SQLMutant):
    """Puts each new connection through `changed`."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        dialect: Any = self.dialect
        connect = dialect.connect
        dialect.connect = lambda deadline: self.changed(connect(deadline))

    def changed(self, link: Any) -> Any:
        raise NotImplementedError


class ParameterPerValue(ChangedLinks):
    """A parameter for each value of a list: by default SQLite takes 32,766."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        vars(self.dialect)["any_of"] = self.any_of

    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        parameters = {f"{name}_{number}": value for number, value in enumerate(values)}
        return f"{column} IN ({', '.join(f':{parameter}' for parameter in parameters)})", parameters

    def changed(self, link: Any) -> Any:
        # The library of a system may be built with another default.
        link.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
        return link


# --- Creates and imports ----------------------------------------------------------------------------------------------


class InsertsLater(Statements):
    def insert(self) -> Statement:
        time.sleep(0.005)
        return super().insert()


class ImportDeferred(SQLMutant):
    """Begins an import as a reader, and writes 5 ms later."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        self.statements = InsertsLater(self.dialect, self.tables)
        # All other transactions begin with a write.
        vars(self.dialect)["begin"] = "BEGIN DEFERRED"


class LoserLeavesPayloads(SQLMutant):
    """Writes the payloads before the task, and commits them although the key was held."""

    def insert(self, record: TaskRecord, deadline: float, *, as_given: bool = False) -> TaskRecord | None:
        if not has_payloads(record):
            return super().insert(record, deadline, as_given=as_given)
        values = present_values(record)
        statement, payloads = self.statements.insert_unless_standing(tuple(values)), self.statements.insert_payloads()
        with self.pool.transaction(deadline) as link:
            if link.fetch(f"SELECT 1 FROM {self.tables.tasks_name} WHERE id = ?", [record.id], deadline):
                return None
            link.execute(payloads.sql, payloads.bind(column_values(record)), deadline)
            return record if link.execute(statement.sql, statement.bind(values), deadline) == 1 else None


class ImportFallbackLosesPayloads(SQLMutant):
    """Where a key of a batch is held, the records before it go in without their payloads."""

    is_importing = False

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        self.is_importing = True
        try:
            return super().store_import(records, deadline)
        finally:
            self.is_importing = False

    def insert(self, record: TaskRecord, deadline: float, *, as_given: bool = False) -> TaskRecord | None:
        bare: dict[str, Any] = dict.fromkeys(("checkpoint", "result", "error", "confirmation", "function", "arguments"))
        return super().insert(record._replace(**bare) if self.is_importing else record, deadline, as_given=as_given)


class RollbackForgotten(ChangedLinks):
    """Leaves the transaction of an import that fails open on its connection."""

    def changed(self, link: Any) -> Any:
        link.recover = lambda error: True
        return link


# --- Visibility -------------------------------------------------------------------------------------------------------


class ArgumentsNotKept(PayloadsNotKept):
    """Keeps functions and arguments to itself."""

    names = ("function", "arguments")


class OfOneProcess(SQLMutant):
    """A good store that is not shared."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.capabilities = Capabilities(durable=True, bounded=True)


class UserIndexNotRebuilt(OfOneProcess):
    """An index of users that is made as tasks come, and not when the store is opened."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.indexed: set[str] = set()

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        self.indexed.add(standing.id)
        return standing

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        self.indexed.update(record.id for record in records)
        return super().store_import(records, deadline)

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        rows = super().store_find_by_user(organization, user, None, deadline)
        return [row for row in rows if row is None or row[0] in self.indexed][:limit]


class UnknownIdRemembered(SQLMutant):
    """Remembers ids that were not there, until it writes them itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.unknown: set[str] = set()

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.unknown.discard(record.id)
        return super().store_create(record, deadline)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        self.unknown.difference_update(record.id for record in records)
        return super().store_import(records, deadline)

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        if task_id in self.unknown:
            return None
        found = super().store_get(task_id, organization, deadline)
        if found is None and organization is None:
            self.unknown.add(task_id)
        return found


class PagesRemembered(ForgetsAtWrites, SQLMutant):
    """Remembers pages and counts until it writes itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.answers: dict[str, Any] = {}

    def forget(self) -> None:
        self.answers = {}

    def store_count(self, query: Query, deadline: float) -> int:
        answers, question = self.answers, repr(query)
        if question not in answers:
            answers[question] = super().store_count(query, deadline)
        return int(answers[question])

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        answers, question = self.answers, repr((query, sort, offset, limit))
        if question not in answers:
            answers[question] = super().store_page(query, sort, offset, limit, deadline)
        return list(answers[question])


class ClosingOneClosesOthers(SQLMutant):
    """Managers of one URL share a pool, which the first to close closes."""

    pools: ClassVar[dict[str, Pool]] = {}

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        shared = self.pools.get(self.url.text)
        if shared is None or shared.is_closed:
            shared = self.pools[self.url.text] = self.pool
        self.pool = shared


# --- Updates and gets -------------------------------------------------------------------------------------------------


class UpdateInTwoSteps(SQLMutant):
    """Changes the row, and the payloads 5 ms later in a transaction of their own."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        apart = {name: value for name, value in change.fields.items() if name in PAYLOAD_COLUMNS}
        rest = {name: value for name, value in change.fields.items() if name not in apart}
        row = super().store_update(task_id, organization, change._replace(fields=rest), deadline)
        if row is not None and apart:
            time.sleep(0.005)
            with self.pool.link(deadline) as link:
                self.write_payloads(link, task_id, apart, deadline)
        return row


class GetInTwoSteps(SQLMutant):
    """Reads the row, and the payloads 2 ms later."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        row = super().store_get(task_id, organization, deadline)
        time.sleep(0.002)
        later = row and super().store_get(task_id, organization, deadline)
        if row is None or later is None:
            return None
        payloads = {name: getattr(later, name) for name in ("checkpoint", "result", "error", "confirmation")}
        return row._replace(**payloads)
