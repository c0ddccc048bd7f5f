"""Mutants in SQL: one statement is another, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from module_sdk_sql.statements import Statement, Statements

from module_sdk.backends import Change, ManagerOptions, TaskRecord, statuses
from tests.mutants.bases import SQLMutant

RANGE = "t.task_key >= :start AND t.task_key < :end"
KEY = "t.task_key = :key"
USER = "t.user_id = :user"


class Rewritten(Statements):
    """Statements whose text goes through a function first."""

    rewrite: Callable[[str], str]

    def render(self, sql: str) -> Statement:
        return super().render(self.rewrite(sql))


class SQLStatementMutant(SQLMutant):
    """Replaces parts of every statement."""

    replacements: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        statements = Rewritten(self.dialect, self.tables)
        statements.rewrite = self.rewrite
        self.statements = statements

    def rewrite(self, sql: str) -> str:
        for old, new in self.replacements:
            sql = sql.replace(old, new)
        return sql


class LikeInSQLite(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key LIKE :start || '%' AND :end <> ''"),)


class LikeEscapedInSQLite(SQLStatementMutant):
    """Escapes what it should, and forgets that LIKE folds case."""

    escaped = "replace(replace(replace(:start, '\\', '\\\\'), '%', '\\%'), '_', '\\_')"
    replacements = ((RANGE, f"t.task_key LIKE {escaped} || '%' ESCAPE '\\' AND :end <> ''"),)


class GlobInSQLite(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key GLOB :start || '*' AND :end <> ''"),)


class NoCaseInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_key)
        return sql.replace(hint, "").replace(KEY, f"{KEY} COLLATE NOCASE") if KEY in sql else sql


class TrimmedInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_key)
        return sql.replace(hint, "").replace(KEY, f"{KEY} COLLATE RTRIM") if KEY in sql else sql


class NumericKeysInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_key)
        return sql.replace(hint, "").replace(KEY, "t.task_key + 0 = :key + 0") if KEY in sql else sql


class UserLikeInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_user)
        return sql.replace(hint, "").replace(USER, "t.user_id LIKE :user") if USER in sql else sql


class TiesByRowid(SQLStatementMutant):
    replacements = (("ORDER BY t.created_at DESC, t.id DESC", "ORDER BY t.created_at DESC, t.rowid"),)


class SecondsInOrder(SQLStatementMutant):
    replacements = (("ORDER BY t.created_at DESC", "ORDER BY t.created_at / 1000000 DESC"),)


class MillisecondsInOrder(SQLStatementMutant):
    replacements = (("ORDER BY t.created_at DESC", "ORDER BY t.created_at / 1000 DESC"),)


class LimitBeforeOrder(SQLStatementMutant):
    """Of a family it takes the first rows that it meets, and sorts those."""

    replacements = (("ORDER BY t.created_at DESC, t.id DESC LIMIT :limit) AS picked", "LIMIT :limit) AS picked"),)


class StatusNotGuarded(SQLStatementMutant):
    """Looks at the status, waits 5 ms, and writes whatever it is by then."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or record.status not in change.allowed:
            return None
        time.sleep(0.005)
        everything = Change(change.now, tuple(statuses.STATUSES), change.fields, change.starts, change.ends)
        return super().store_update(task_id, organization, everything, deadline)


class WholeRecordWritten(SQLStatementMutant):
    """Reads progress, label, checkpoint and error, waits 5 ms, and writes all of them."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or "status" in change.fields:
            return super().store_update(task_id, organization, change, deadline)
        time.sleep(0.005)
        read = {name: getattr(record, name) for name in ("progress", "label", "checkpoint", "error")}
        whole = Change(change.now, change.allowed, {**read, **change.fields}, change.starts, change.ends)
        return super().store_update(task_id, organization, whole, deadline)


class PruneLeavesPayloads(SQLStatementMutant):
    """On SQLite, where they lie in a table of their own."""

    def rewrite(self, sql: str) -> str:
        return f"{sql} AND 1 = 0" if sql.startswith(f"DELETE FROM {self.tables.payloads_name}") else sql


class NoIndexUsed(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        return sql.replace(self.dialect.index_hint(self.tables.by_key), " NOT INDEXED")


class PayloadsInLookups(SQLStatementMutant):
    """Reads the payloads of every row, and shows the ten fields."""

    def rewrite(self, sql: str) -> str:
        if "t.user_id = :user ORDER" not in sql:
            return sql
        apart = f"(SELECT checkpoint FROM {self.tables.payloads_name} AS p WHERE p.id = t.id) AS checkpoint"
        return sql.replace(", t.updated_at FROM", f", t.updated_at, {apart} FROM", 1)

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> Any:
        return [row and row[:10] for row in super().store_find_by_user(organization, user, limit, deadline)]


class ImportReplaces(SQLStatementMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        for record in records:
            self.pool.execute(f"DELETE FROM {self.tables.tasks_name} WHERE id = ?", [record.id], deadline)
            self.pool.execute(f"DELETE FROM {self.tables.payloads_name} WHERE id = ?", [record.id], deadline)
        return super().store_import(records, deadline)


class ImportSkipsHeldKeys(SQLStatementMutant):
    """`INSERT OR IGNORE`, which is silent about a key that another holds."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        return sum(self.insert(record, deadline, as_given=True) is not None for record in records)


class PayloadsWrittenLater(SQLStatementMutant):
    """Acknowledges a task, and writes its payloads 30 ms later."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record._replace(checkpoint=None), deadline)
        if standing.id != record.id or record.checkpoint is None:
            return record if standing.id == record.id else standing

        def write() -> None:
            time.sleep(0.03)
            change = Change(record.updated_at, tuple(statuses.STATUSES), {"checkpoint": record.checkpoint})
            super(PayloadsWrittenLater, self).store_update(record.id, None, change, time.monotonic() + 10)

        threading.Thread(target=write, daemon=True).start()
        return record


class SetupRaces(SQLStatementMutant):
    """Looks whether a table is there, and makes it 20 ms later."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        name = f"{self.options.namespace}__extra"
        rows = self.pool.fetch("SELECT 1 FROM sqlite_master WHERE name = ?", [name], deadline)
        if create and not rows:
            time.sleep(0.02)
            self.pool.execute(f"CREATE TABLE {name} (a)", (), deadline)


# --- On the servers ---------------------------------------------------------------------------------------------------


class LikeOnServers(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key LIKE concat(:start, '%') AND :end <> ''"),)


class CaseFoldedOnPostgreSQL(SQLStatementMutant):
    replacements = ((KEY, "lower(t.task_key) = lower(:key)"),)


class IgnoresCaseInPrefixOnPostgreSQL(SQLStatementMutant):
    replacements = ((RANGE, "lower(t.task_key) >= lower(:start) AND lower(t.task_key) < lower(:end)"),)


class RegexOnPostgreSQL(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key ~ ('^' || :start) AND :end <> ''"),)


class PaddedOnMariaDB(SQLStatementMutant):
    """The server's own collation: no case, no accents, no trailing blanks."""

    def rewrite(self, sql: str) -> str:
        folded = "CONVERT({} USING utf8mb4) COLLATE utf8mb4_general_ci"
        equal = f"{folded.format('t.task_key')} = {folded.format(':key')}"
        return sql.replace(self.dialect.index_hint(self.tables.by_key), "").replace(KEY, equal) if KEY in sql else sql


class DatetimeOnMariaDB(SQLStatementMutant):
    """Times as DATETIME, which has no fractions."""

    replacements = (("ORDER BY t.created_at DESC", "ORDER BY CAST(t.created_at / 1000000 AS UNSIGNED) DESC"),)


class UnloggedOnPostgreSQL(SQLStatementMutant):
    """Tasks in a table that is not in the log, and is empty after a crash."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        dialect: Any = self.dialect
        define = dialect.define
        unlogged = f"CREATE UNLOGGED TABLE {self.tables.tasks_name} "
        dialect.define = lambda link, sql, deadline: define(
            link, sql.replace(f"CREATE TABLE {self.tables.tasks_name} ", unlogged), deadline
        )
