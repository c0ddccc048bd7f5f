"""Every statement, written once a namespace. Values always travel as parameters."""

# ruff: noqa: S608  # the texts hold names of ours only

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from module_sdk.backends import RECORD_FIELDS, ROW_FIELDS, Change, Condition, Query, Sort, TaskRecord, statuses

SCHEMA_VERSION: Final = 1

INTEGERS: Final = ("created_at", "updated_at", "started_at", "finished_at")
"""Times are microseconds since 1970: a TIMESTAMP cannot be raised by one in an update, and knows no time zone."""
TYPES: Final = {"progress": "DOUBLE", **dict.fromkeys(INTEGERS, "BIGINT")}
PLACES: Final = ("user_place", "key_place")
COLUMNS: Final = (*RECORD_FIELDS, *PLACES)

ROW: Final = ", ".join(ROW_FIELDS)
RECORD: Final = ", ".join(RECORD_FIELDS)
NEWEST_FIRST: Final = "ORDER BY created_at DESC, id DESC"


def place(organization: str, text: str) -> str:
    """An organization and a user or key as one text, since DuckDB looks up by indexes of one column only.

    No text of a task contains NUL, so `a` with `b:c` and `a:b` with `c` have different places. What begins with an
    organization's place and NUL is below the same followed by U+0001.
    """
    return f"{organization}\0{text}"


def stored(record: TaskRecord) -> tuple[Any, ...]:
    """The values of all columns."""
    key_place = None if record.task_key is None else place(record.organization_id, record.task_key)
    return (*record, place(record.organization_id, record.user_id), key_place)


class Statements:
    """The statements on the tables of one namespace, and where needed their values."""

    def __init__(self, namespace: str) -> None:
        tasks = self.tasks = f"{namespace}__tasks"
        meta = self.meta = f"{namespace}__meta"
        columns = ", ".join(f"{name} {TYPES.get(name, 'VARCHAR')}" for name in COLUMNS if name != "id")
        self.create_schema = (
            f"CREATE TABLE IF NOT EXISTS {meta} (version INTEGER)",
            f"CREATE TABLE IF NOT EXISTS {tasks} (id VARCHAR PRIMARY KEY, {columns})",
            # One active task an organization and key: NULL, which ended tasks have, equals no NULL here.
            f"CREATE UNIQUE INDEX IF NOT EXISTS {tasks}_active ON {tasks} (organization_id, active_key)",
            *(f"CREATE INDEX IF NOT EXISTS {tasks}_{name} ON {tasks} ({name})" for name in PLACES),
            f"INSERT INTO {meta} SELECT {SCHEMA_VERSION} WHERE NOT EXISTS (FROM {meta})",
        )
        # Both tables: somebody may have dropped one.
        self.has_schema = f"SELECT count(*) = 2 FROM duckdb_tables() WHERE table_name IN ('{meta}', '{tasks}')"
        self.version = f"SELECT version FROM {meta}"

        self.by_user = f"SELECT {ROW} FROM {tasks} WHERE user_place = ? {NEWEST_FIRST} LIMIT ?"
        self.by_key = f"SELECT {ROW} FROM {tasks} WHERE key_place = ? {NEWEST_FIRST} LIMIT ?"
        # A range, never LIKE: no character of a prefix is special, and the index serves it.
        self.by_prefix = f"SELECT {ROW} FROM {tasks} WHERE key_place >= ? AND key_place < ? {NEWEST_FIRST} LIMIT ?"

        self.get = f"SELECT {RECORD} FROM {tasks} WHERE id = ?"
        self.holder = f"SELECT {RECORD} FROM {tasks} WHERE organization_id = ? AND active_key = ?"
        self.newest = f"SELECT max(created_at) FROM {tasks} WHERE key_place = ? AND created_at <= ?"
        self.known_ids = f"SELECT id FROM {tasks} WHERE id IN (SELECT unnest(?::VARCHAR[]))"
        self.holders = (
            f"SELECT organization_id, active_key FROM {tasks} WHERE active_key IN (SELECT unnest(?::VARCHAR[]))"
        )
        into = f"INSERT INTO {tasks} ({', '.join(COLUMNS)})"
        self.insert = f"{into} VALUES ({', '.join('?' * len(COLUMNS))})"
        # A list for each column: one statement takes any number of records, in the time of a few.
        lists = ", ".join(f"unnest(?::{TYPES.get(name, 'VARCHAR')}[])" for name in COLUMNS)
        self.insert_many = f"{into} SELECT {lists}"

    def update(self, task_id: str, organization: str | None, change: Change) -> tuple[str, list[Any]]:
        """One statement decides: the status is compared and the change made in the same step."""
        moment = "greatest(?, updated_at + 1)"
        changes = {f"{name} = ?": value for name, value in change.fields.items()}
        changes[f"updated_at = {moment}"] = change.now
        if change.starts:
            changes[f"started_at = coalesce(started_at, {moment})"] = change.now
        if change.ends:
            changes |= {f"finished_at = {moment}": change.now, "active_key = ?": None}
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
        """The conditions and the organization as SQL, with its values."""
        conditions: Sequence[Condition] = query.conditions
        if query.organization is not None:
            conditions = (*conditions, Condition("organization_id", "any_of", (query.organization,)))
        terms, values = ["true"], []
        for field, operator, value in conditions:
            terms.append(TERMS[operator].format(field=field))
            values.append(list(value) if operator == "any_of" else value)
            if operator == "any_of" and None in value:
                # NULL is in no list: an absent value has to be asked for.
                terms[-1] = f"({field} IS NULL OR {terms[-1]})"
        return " AND ".join(terms), values


TERMS: Final = {
    "any_of": "{field} IN (SELECT unnest(?::VARCHAR[]))",
    "contains": "contains({field}, ?)",
    "at_least": "{field} >= ?",
    "below": "{field} < ?",
}
"""Absent values meet none of them."""
