"""The SQL statements of one namespace. Values are always parameters."""

# ruff: noqa: S608  # the texts contain only names from this file

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from module_sdk.backends import RECORD_FIELDS, ROW_FIELDS, Change, Condition, Query, Sort, TaskRecord, statuses

SCHEMA_VERSION: Final = 1

INTEGERS: Final = ("created_at", "updated_at", "started_at", "finished_at")
"""Times are microseconds since 1970: an update cannot add one to a TIMESTAMP, which also has no time zone."""
TYPES: Final = {"progress": "DOUBLE", **dict.fromkeys(INTEGERS, "BIGINT")}
SORT_KEYS: Final = ("user_sort_key", "key_sort_key")
COLUMNS: Final = (*RECORD_FIELDS, *SORT_KEYS)

ROW: Final = ", ".join(ROW_FIELDS)
RECORD: Final = ", ".join(RECORD_FIELDS)
NEWEST_FIRST: Final = "ORDER BY created_at DESC, id DESC"


def sort_key(organization: str, text: str) -> str:
    """Return an organization and a user or key as one text, since DuckDB looks up only by indexes of one column.

    No text of a task contains NUL, so different pairs have different sort keys. Every sort key of an organization is
    below the organization followed by U+0001.
    """
    return f"{organization}\0{text}"


def stored(record: TaskRecord) -> tuple[Any, ...]:
    """Return the values of all columns."""
    key_sort_key = None if record.task_key is None else sort_key(record.organization_id, record.task_key)
    return (*record, sort_key(record.organization_id, record.user_id), key_sort_key)


class Statements:
    """The statements on the tables of one namespace. Methods return a statement with its values."""

    def __init__(self, namespace: str) -> None:
        tasks = self.tasks = f"{namespace}__tasks"
        meta = self.meta = f"{namespace}__meta"
        columns = ", ".join(f"{name} {TYPES.get(name, 'VARCHAR')}" for name in COLUMNS if name != "id")
        self.create_schema = (
            f"CREATE TABLE IF NOT EXISTS {meta} (version INTEGER)",
            f"CREATE TABLE IF NOT EXISTS {tasks} (id VARCHAR PRIMARY KEY, {columns})",
            # One active task per organization and key. Ended tasks have NULL, which the index never treats as equal.
            f"CREATE UNIQUE INDEX IF NOT EXISTS {tasks}_active ON {tasks} (organization_id, active_key)",
            *(f"CREATE INDEX IF NOT EXISTS {tasks}_{name} ON {tasks} ({name})" for name in SORT_KEYS),
            f"INSERT INTO {meta} SELECT {SCHEMA_VERSION} WHERE NOT EXISTS (FROM {meta})",
        )
        # Check both tables, since one may have been dropped.
        self.has_schema = f"SELECT count(*) = 2 FROM duckdb_tables() WHERE table_name IN ('{meta}', '{tasks}')"
        self.version = f"SELECT version FROM {meta}"

        self.by_user = f"SELECT {ROW} FROM {tasks} WHERE user_sort_key = ? {NEWEST_FIRST} LIMIT ?"
        self.by_key = f"SELECT {ROW} FROM {tasks} WHERE key_sort_key = ? {NEWEST_FIRST} LIMIT ?"
        # A range instead of LIKE: no character of a prefix is special, and the index is used.
        self.by_prefix = (
            f"SELECT {ROW} FROM {tasks} WHERE key_sort_key >= ? AND key_sort_key < ? {NEWEST_FIRST} LIMIT ?"
        )

        self.get = f"SELECT {RECORD} FROM {tasks} WHERE id = ?"
        self.holder = f"SELECT {RECORD} FROM {tasks} WHERE organization_id = ? AND active_key = ?"
        self.newest = f"SELECT max(created_at) FROM {tasks} WHERE key_sort_key = ? AND created_at <= ?"
        self.known_ids = f"SELECT id FROM {tasks} WHERE id IN (SELECT unnest(?::VARCHAR[]))"
        self.holders = (
            f"SELECT organization_id, active_key FROM {tasks} WHERE active_key IN (SELECT unnest(?::VARCHAR[]))"
        )
        into = f"INSERT INTO {tasks} ({', '.join(COLUMNS)})"
        self.insert = f"{into} VALUES ({', '.join('?' * len(COLUMNS))})"
        # One list per column: a single statement inserts any number of records, in little more time than a few.
        lists = ", ".join(f"unnest(?::{TYPES.get(name, 'VARCHAR')}[])" for name in COLUMNS)
        self.insert_many = f"{into} SELECT {lists}"

    def update(self, task_id: str, organization: str | None, change: Change) -> tuple[str, list[Any]]:
        """Return one statement that compares the status and makes the change in the same step."""
        time = "greatest(?, updated_at + 1)"
        changes = {f"{name} = ?": value for name, value in change.fields.items()}
        changes[f"updated_at = {time}"] = change.now
        if change.starts:
            changes[f"started_at = coalesce(started_at, {time})"] = change.now
        if change.ends:
            changes |= {f"finished_at = {time}": change.now, "active_key = ?": None}
        where, values = self.where(
            Query(organization, (Condition("id", "any_of", (task_id,)), Condition("status", "any_of", change.allowed)))
        )
        sql = f"UPDATE {self.tasks} SET {', '.join(changes)} WHERE {where} RETURNING {ROW}"
        return sql, [*changes.values(), *values]

    def page(self, query: Query, sort: Sort, offset: int, limit: int) -> tuple[str, list[Any]]:
        where, values = self.where(query)
        direction = "DESC NULLS LAST" if sort.descending else "ASC NULLS FIRST"
        sql = f"SELECT {ROW} FROM {self.tasks} WHERE {where} ORDER BY {sort.field} {direction}, id {direction}"
        return f"{sql} LIMIT ? OFFSET ?", [*values, limit, offset]

    def count(self, query: Query) -> tuple[str, list[Any]]:
        where, values = self.where(query)
        return f"SELECT count(*) FROM {self.tasks} WHERE {where}", values

    def prune(self, before: int, organization: str | None, user: str | None, batch_size: int) -> tuple[str, list[Any]]:
        conditions = [Condition("status", "any_of", statuses.FINAL), Condition("updated_at", "below", before)]
        if user is not None:
            conditions.append(Condition("user_id", "any_of", (user,)))
        where, values = self.where(Query(organization, tuple(conditions)))
        old = f"SELECT rowid FROM {self.tasks} WHERE {where} LIMIT ?"
        return f"DELETE FROM {self.tasks} WHERE rowid IN ({old}) RETURNING id", [*values, batch_size]

    def where(self, query: Query) -> tuple[str, list[Any]]:
        """Return the conditions and the organization as SQL, and its values."""
        conditions: Sequence[Condition] = query.conditions
        if query.organization is not None:
            conditions = (*conditions, Condition("organization_id", "any_of", (query.organization,)))
        terms, values = ["true"], []
        for field, operator, value in conditions:
            terms.append(TERMS[operator].format(field=field))
            values.append(list(value) if operator == "any_of" else value)
            if operator == "any_of" and None in value:
                # IN never matches NULL, so an absent value needs its own condition.
                terms[-1] = f"({field} IS NULL OR {terms[-1]})"
        return " AND ".join(terms), values


TERMS: Final = {
    "any_of": "{field} IN (SELECT unnest(?::VARCHAR[]))",
    "contains": "contains({field}, ?)",
    "at_least": "{field} >= ?",
    "below": "{field} < ?",
}
"""The SQL of each operator. None matches an absent value."""
