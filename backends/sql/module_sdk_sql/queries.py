"""All statements on tasks, written once for all databases.

A statement is rendered in the driver's style when it is first used, and then cached. Values are always parameters; the
text contains only our own names of tables, columns and statuses.
"""

# ruff: noqa: S608  # the texts contain only our own names; every value is a parameter

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec

from sqlalchemy import text

from module_sdk.backends import CLOCK_TOLERANCE, RECORD_FIELDS, ROW_FIELDS, Sort, statuses
from module_sdk_sql.dialects.base import Dialect
from module_sdk_sql.schema import PAYLOAD_COLUMNS, Tables

Variant = ParamSpec("Variant")

COLUMNS: Final = {field: "function_name" if field == "function" else field for field in RECORD_FIELDS}
"""The column of each field of a record."""
TASK_COLUMNS: Final = tuple(column for column in COLUMNS.values() if column not in PAYLOAD_COLUMNS)
ROW: Final = ", ".join(f"t.{field}" for field in ROW_FIELDS)
# SQLite's RETURNING returns an integer for a whole number in a REAL column, unless the column is part of an expression.
RETURNED_ROW: Final = ", ".join("progress + 0.0" if field == "progress" else field for field in ROW_FIELDS)
TIMES: Final = ("created_at", "updated_at", "started_at", "finished_at")
"""The columns that an insert may set to other values than those of the record."""
NEWEST_FIRST: Final = "ORDER BY t.created_at DESC, t.id DESC"
ENDED: Final = f"status IN ({', '.join(repr(status) for status in statuses.FINAL)})"


class Statement(NamedTuple):
    """SQL in the driver's style, and the names of its parameters in the order in which they occur."""

    sql: str
    names: tuple[str, ...]

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        return [values[name] for name in self.names]


def cached(
    build: Callable[Concatenate[Statements, Variant], str],
) -> Callable[Concatenate[Statements, Variant], Statement]:
    """Render the text that `build` returns, once for each set of its arguments."""
    name = build.__name__

    def find(self: Statements, /, *variant: Variant.args, **named: Variant.kwargs) -> Statement:
        key = (name, *variant)
        statement = self.rendered.get(key)
        if statement is None:
            statement = self.rendered[key] = self.render(build(self, *variant, **named))
        return statement

    return find


class Statements:
    """The statements on the tables of one namespace in one database."""

    def __init__(self, dialect: Dialect, tables: Tables) -> None:
        self.dialect = dialect
        self.tables = tables
        self.tasks = tables.tasks_name
        self.payloads = tables.payloads_name
        self.rendered: dict[tuple[object, ...], Statement] = {}

    def render(self, sql: str) -> Statement:
        compiled = text(sql).compile(dialect=self.dialect.compiler)
        return Statement(str(compiled), tuple(compiled.positiontup or ()))

    # --- Lookups, whose arguments are passed in the order of the docstring ------------------------------------------

    @cached
    def find_by_user(self, is_limited: bool) -> str:
        """Select the tasks of one user in one organization, newest first: `organization, user[, limit]`."""
        return (
            f"SELECT {ROW} FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_user)} "
            f"WHERE t.organization_id = :organization AND t.user_id = :user {NEWEST_FIRST}{limit(is_limited)}"
        )

    @cached
    def find_by_key(self, is_limited: bool) -> str:
        """Select the tasks of exactly one key in one organization, newest first: `organization, key[, limit]`."""
        return (
            f"SELECT {ROW} FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_key)} "
            f"WHERE t.organization_id = :organization AND t.task_key = :key {NEWEST_FIRST}{limit(is_limited)}"
        )

    @cached
    def find_by_prefix(self, has_end: bool, is_limited: bool) -> str:
        """Select the tasks of a range of keys in one organization, newest first: `organization, start[, end][, limit]`.

        With a limit, a subquery picks the newest ids from the index of keys, and only their rows are fetched. Without
        the subquery, planners would read an index by time, and therefore tasks outside the range as well.
        """
        below = " AND t.task_key < :end" if has_end else ""
        matching = (
            f"FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_key)} "
            f"WHERE t.organization_id = :organization AND t.task_key >= :start{below}"
        )
        if not is_limited:
            return f"SELECT {ROW} {matching} {NEWEST_FIRST}"
        picked = (
            f"SELECT t.id {matching} ORDER BY t.created_at{self.dialect.unindexed} DESC, t.id DESC{limit(is_limited)}"
        )
        return f"{self.rows_of(picked)} {NEWEST_FIRST}"

    def rows_of(self, picked: str) -> str:
        """Return the SELECT of the rows whose ids the subquery `picked` selects."""
        join = self.dialect.ordered_join
        return f"SELECT {ROW} FROM ({picked}) AS picked {join} {self.tasks} AS t WHERE t.id = picked.id"

    # --- One task ---------------------------------------------------------------------------------------------------

    @cached
    def get(self, is_scoped: bool) -> str:
        """Select one whole record."""
        return f"{self.record()} WHERE t.id = :id{scope(is_scoped, 't.')}"

    @cached
    def existing(self) -> str:
        """Select the existing records that prevent an insert: the one of its id, the holder of its key, or both."""
        return (
            f"{self.record()} WHERE t.id = :id UNION ALL "
            f"{self.record()} WHERE t.organization_id = :organization AND t.active_key = :active_key"
        )

    def record(self) -> str:
        """Return the text `SELECT all fields of records FROM their tables`."""
        source = "p" if self.tables.separate_payload_table else "t"
        names = ", ".join(f"{source if name in PAYLOAD_COLUMNS else 't'}.{name}" for name in COLUMNS.values())
        join = f" LEFT JOIN {self.payloads} AS p ON p.id = t.id" if self.tables.separate_payload_table else ""
        return f"SELECT {names} FROM {self.tasks} AS t{join}"

    @cached
    def insert(self) -> str:
        """Insert a new task, with every column of its table."""
        return insert(self.tasks, TASK_COLUMNS if self.tables.separate_payload_table else COLUMNS.values())

    @cached
    def insert_unless_existing(self, names: tuple[str, ...]) -> str:
        """Insert a new task; if its id exists or its key has a holder, insert nothing and raise no error.

        `names` are the columns that have a value. They are about half of all columns, and each parameter takes time.
        """
        return insert(self.tasks, self.own_columns(names)) + self.dialect.skip_conflict

    def insert_in_order(self, names: tuple[str, ...], keeps_server_time: bool) -> Statement:
        """Return `insert_unless_existing` with the condition that the times of the task need no change.

        All times of the task must be equal. Nearly every new task can be inserted by this, in half the time of
        `insert_moved`.
        """
        if not self.moves_times(names, keeps_server_time):
            return self.insert_unless_existing(names)
        return self.insert_unmoved(names, keeps_server_time)

    @cached
    def insert_unmoved(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        conditions = []
        requested = self.bounded(":created_at", keeps_server_time)
        if requested != ":created_at":
            conditions.append(f"{requested} = :created_at")
        if "task_key" in names:
            conditions.append(f"NOT EXISTS ({self.earlier('1', keeps_server_time)} AND t.created_at >= :created_at)")
        columns = self.own_columns(names)
        return (
            f"INSERT INTO {self.tasks} ({', '.join(columns)}) SELECT {', '.join(f':{name}' for name in columns)} "
            f"WHERE {' AND '.join(conditions)}{self.dialect.skip_conflict}"
        )

    def own_columns(self, names: tuple[str, ...]) -> list[str]:
        """Return the columns that are in the table of tasks itself."""
        separate = PAYLOAD_COLUMNS if self.tables.separate_payload_table else ()
        return [name for name in names if name not in separate]

    def moves_times(self, names: tuple[str, ...], keeps_server_time: bool) -> bool:
        """Return whether an insert may change the times of a new task with these columns."""
        return "task_key" in names or (keeps_server_time and self.dialect.server_clock is not None)

    @cached
    def insert_moved(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        """Run `insert_unless_existing` with times that may be changed; return them if the task was inserted.

        The changes are those that ORDER-10 and ORDER-12 require.
        """
        values = self.moved_values(names, keeps_server_time, created="created.at")
        # LIMIT keeps the planner from repeating the subquery for each `created.at`. WHERE is needed because SQLite
        # would parse the ON of the conflict clause as that of a join.
        text = (
            f"INSERT INTO {self.tasks} ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"FROM (SELECT {self.creation_time(names, keeps_server_time)} AS at LIMIT 1) AS created "
            f"WHERE true{self.dialect.skip_conflict}"
        )
        row = f"SELECT {', '.join(TIMES)} FROM {self.tasks} WHERE id = :id"
        return self.dialect.changed_row(text, ", ".join(TIMES), row)

    @cached
    def insert_or_return(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        """Run `insert_moved`, and return the whole record that was inserted or existed.

        This is for MariaDB, where an INSERT that selects from its own table needs a temporary table. There the value of
        a column may refer to a column before it, so `created_at` comes first.
        """
        created = {"created_at": self.creation_time(names, keeps_server_time)}
        values = created | self.moved_values(names, keeps_server_time, created="created_at") | created
        text = f"INSERT INTO {self.tasks} ({', '.join(values)}) VALUES ({', '.join(values.values())})"
        return f"{text}{self.dialect.skip_conflict} RETURNING {', '.join(COLUMNS.values())}"

    def moved_values(self, names: tuple[str, ...], keeps_server_time: bool, *, created: str) -> dict[str, str]:
        """Return the expression of each column of a new task; `created` is the expression of its creation time."""
        values = {name: f":{name}" for name in self.own_columns(names)}
        values["created_at"] = created
        for name in TIMES[1:]:
            if name in values:
                values[name] = f"{self.dialect.greatest}({self.bounded(f':{name}', keeps_server_time)}, {created})"
        return values

    def creation_time(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        """Return the expression of a creation time after those of all earlier tasks of the key.

        Earlier tasks whose time is in the far future do not count.
        """
        requested = self.bounded(":created_at", keeps_server_time)
        if "task_key" not in names:
            return requested
        newest = self.earlier("max(t.created_at)", keeps_server_time)
        return f"{self.dialect.greatest}({requested}, coalesce(({newest}) + 1, {requested}))"

    def earlier(self, columns: str, keeps_server_time: bool) -> str:
        """Return a SELECT from the earlier tasks of a new task's key, except those in the far future."""
        bound = ":horizon"
        if keeps_server_time and self.dialect.server_clock is not None:
            bound = f"{self.dialect.server_clock} + {CLOCK_TOLERANCE}"
        return (
            f"SELECT {columns} FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_key)} "
            f"WHERE t.organization_id = :organization_id AND t.task_key = :task_key AND t.created_at <= {bound}"
        )

    def bounded(self, moment: str, keeps_server_time: bool) -> str:
        """Return the expression `moment`, kept within the tolerance of the server's clock where that clock is used."""
        clock = self.dialect.server_clock
        if clock is None or not keeps_server_time:
            return moment
        return f"least(greatest({moment}, {clock} - {CLOCK_TOLERANCE}), {clock} + {CLOCK_TOLERANCE})"

    @cached
    def insert_payloads(self) -> str:
        """Insert the payloads of a new task, where they have a separate table."""
        return insert(self.payloads, ("id", *PAYLOAD_COLUMNS))

    def existing_ids(self, condition: str) -> Statement:
        """Select the ids that meet the condition."""
        return self.render(f"SELECT id FROM {self.tasks} WHERE {condition}")

    @cached
    def update(
        self, names: tuple[str, ...], allowed: tuple[str, ...], marks: tuple[bool, bool, bool], is_scoped: bool
    ) -> str:
        """Change columns of a task whose status allows it, and return the row.

        `marks` are (the change starts the task, it ends the task, the server's time is used).
        """
        update = self.change(names, allowed, marks, is_scoped)
        row = f"SELECT {ROW} FROM {self.tasks} AS t WHERE t.id = :id{scope(is_scoped)}"
        return self.dialect.changed_row(update, RETURNED_ROW, row)

    @cached
    def update_only(
        self, names: tuple[str, ...], allowed: tuple[str, ...], marks: tuple[bool, bool, bool], is_scoped: bool
    ) -> str:
        """Run `update` without returning the row, for a transaction that updates many tasks."""
        return self.change(names, allowed, marks, is_scoped)

    def change(
        self, names: tuple[str, ...], allowed: tuple[str, ...], marks: tuple[bool, bool, bool], is_scoped: bool
    ) -> str:
        # `updated_at` must come last: MariaDB assigns from left to right, and an expression reads the new values.
        starts, ends, keeps_server_time = marks
        moment = f"{self.dialect.greatest}({self.bounded(':now', keeps_server_time)}, updated_at + 1)"
        changes = [f"{name} = :{name}" for name in names]
        changes += [f"started_at = coalesce(started_at, {moment})"] if starts else []
        changes += [f"finished_at = {moment}", "active_key = NULL"] if ends else []
        return (
            f"UPDATE {self.tasks} SET {', '.join([*changes, f'updated_at = {moment}'])} "
            f"WHERE id = :id AND status IN ({quoted(allowed)}){scope(is_scoped)}"
        )

    @cached
    def put_payloads(self, names: tuple[str, ...]) -> str:
        """Set payloads of a task that may have none yet, where they have a separate table."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in names)
        return f"{insert(self.payloads, ('id', *names))} ON CONFLICT (id) DO UPDATE SET {changes}"

    @cached
    def clear_payloads(self, names: tuple[str, ...]) -> str:
        """Remove payloads of a task, where they have a separate table."""
        return f"UPDATE {self.payloads} SET {', '.join(f'{name} = NULL' for name in names)} WHERE id = :id"

    # --- Many tasks -------------------------------------------------------------------------------------------------

    @cached
    def prune(self, is_scoped: bool, has_user: bool) -> str:
        """Delete a batch of ended tasks, oldest first: `before, batch[, organization][, user]`."""
        user = " AND user_id = :user" if has_user else ""
        old = f"{ENDED} AND updated_at < :before{scope(is_scoped)}{user} ORDER BY updated_at LIMIT :batch"
        return self.dialect.delete_batch(self.tasks, old)

    @cached
    def delete_payloads(self) -> str:
        """Delete the payloads of a deleted task, where they have a separate table."""
        return f"DELETE FROM {self.payloads} WHERE id = :id"

    def page(self, conditions: str, sort: Sort) -> Statement:
        """Select one page of the read model.

        A subquery sorts and skips ids, so that a deep page does not read the rows before it.
        """
        order = self.order(sort)
        picked = f"SELECT t.id FROM {self.tasks} AS t{conditions} ORDER BY {order} LIMIT :limit OFFSET :offset"
        return self.render(f"{self.rows_of(picked)} ORDER BY {order}")

    def order(self, sort: Sort) -> str:
        fields = (sort.field,) if sort.field == "id" else (sort.field, "id")
        return ", ".join(self.dialect.order(f"t.{field}", descending=sort.descending) for field in fields)

    def count(self, conditions: str) -> Statement:
        """Count the tasks that meet the conditions."""
        return self.render(f"SELECT count(*) FROM {self.tasks} AS t{conditions}")

    # --- The schema -------------------------------------------------------------------------------------------------

    @cached
    def has_table(self) -> str:
        """Select a row if the table `name` exists."""
        return self.dialect.has_table()

    @cached
    def read_version(self) -> str:
        """Select the version of the schema, as text."""
        return f"SELECT value FROM {self.tables.meta_name} WHERE name = 'schema_version'"

    @cached
    def check_version(self) -> str:
        """Select the version of the schema; the statement fails if a table is missing."""
        others = ", ".join(f"(SELECT id FROM {name} LIMIT 1)" for name in self.tables.names[1:])
        return f"SELECT value, {others} FROM {self.tables.meta_name} WHERE name = 'schema_version'"

    @cached
    def delete_version(self) -> str:
        return f"DELETE FROM {self.tables.meta_name} WHERE name = 'schema_version'"

    @cached
    def insert_version(self) -> str:
        return f"INSERT INTO {self.tables.meta_name} (name, value) VALUES ('schema_version', :version)"


def limit(is_limited: bool) -> str:
    return " LIMIT :limit" if is_limited else ""


def scope(is_scoped: bool, alias: str = "") -> str:
    return f" AND {alias}organization_id = :organization" if is_scoped else ""


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def insert(table: str, names: Iterable[str]) -> str:
    names = tuple(names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
