"""The statements on our tables that the references of the SQL databases share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.references.base import Reference
from benchmarks.references.rows import INSERTED_COLUMNS, ROW_COLUMNS, Row, rows_of
from module_sdk.domain.record import RECORD_FIELDS, TaskRecord

COLUMNS: Final = tuple("function_name" if field == "function" else field for field in RECORD_FIELDS)
LATER: Final = "{latest}({mark}, updated_at + 1)"


class Statements:
    """The statements. `mark` is the driver's placeholder, `latest` the SQL function that returns the larger number."""

    def __init__(self, namespace: str, *, mark: str, latest: str, hint: str = "") -> None:
        self.table = table = f"{namespace}__tasks"
        self.mark = mark
        by_user, by_key = (hint.format(f"{table}_by_{name}") for name in ("user", "key"))
        scope = f"organization_id = {mark}"
        order = "ORDER BY created_at DESC, id DESC"
        later = LATER.format(latest=latest, mark=mark)
        self.by_user = f"SELECT {ROW_COLUMNS} FROM {table}{by_user} WHERE {scope} AND user_id = {mark} {order}"
        self.by_key = f"SELECT {ROW_COLUMNS} FROM {table}{by_key} WHERE {scope} AND task_key = {mark} {order}"
        self.by_prefix = (
            f"SELECT {ROW_COLUMNS} FROM {table}{by_key} "
            f"WHERE {scope} AND task_key >= {mark} AND task_key < {mark} {order}"
        )
        self.insert = self.insert_into(table, INSERTED_COLUMNS.split(", "))
        self.holder = f"SELECT {ROW_COLUMNS} FROM {table} WHERE {scope} AND active_key = {mark}"
        guard = f"WHERE id = {mark} AND {scope} AND status IN"
        self.update_progress = (
            f"UPDATE {table} SET progress = {mark}, updated_at = {later} "
            f"{guard} ('pending', 'running', 'waiting_confirmation')"
        )
        self.complete = (
            f"UPDATE {table} SET status = 'completed', progress = 1.0, active_key = NULL, "
            f"finished_at = {later}, updated_at = {later}{{payloads}} {guard} ('running')"
        )
        self.row = f"SELECT {ROW_COLUMNS} FROM {table} WHERE id = {mark}"

    def insert_into(self, table: str, columns: Sequence[str]) -> str:
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([self.mark] * len(columns))})"


class SQLReference(Reference):
    statements: Statements

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Return all rows of one statement."""
        raise NotImplementedError

    def list_user_tasks(self, user_id: int, organization_id: int) -> list[Row]:
        return rows_of(self.fetch(self.statements.by_user, (str(organization_id), str(user_id))))

    def get_tasks_by_key(self, task_key: str, organization_id: int) -> list[Row]:
        return rows_of(self.fetch(self.statements.by_key, (str(organization_id), task_key)))

    def get_tasks_by_key_prefix(self, prefix: str, organization_id: int) -> list[Row]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return rows_of(self.fetch(self.statements.by_prefix, (str(organization_id), prefix, end)))


def columns_of(record: TaskRecord) -> dict[str, Any]:
    return dict(zip(COLUMNS, record, strict=True))


def first_row(stored: Sequence[Sequence[Any]]) -> Row | None:
    return rows_of(stored)[0] if stored else None
