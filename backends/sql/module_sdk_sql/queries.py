"""Every statement on tasks, by name, with its purpose; written once for all databases.

A statement is rendered in the driver's style when it is first used, then kept. Values travel as parameters, always;
what is written into the text are names of ours: tables, columns, statuses.
"""

# ruff: noqa: S608  # the texts hold names of ours only; every value is a parameter

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
# SQLite's RETURNING gives a whole number for a REAL column that holds one, unless it is computed with.
RETURNED_ROW: Final = ", ".join("progress + 0.0" if field == "progress" else field for field in ROW_FIELDS)
TIMES: Final = ("created_at", "updated_at", "started_at", "finished_at")
"""The columns that an insert may set to another value than the given one."""
NEWEST_FIRST: Final = "ORDER BY t.created_at DESC, t.id DESC"
ENDED: Final = f"status IN ({', '.join(repr(status) for status in statuses.FINAL)})"


class Statement(NamedTuple):
    """SQL in the driver's style, and the names of its parameters in the order of their places."""

    sql: str
    names: tuple[str, ...]

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        return [values[name] for name in self.names]


def kept(
    build: Callable[Concatenate[Statements, Variant], str],
) -> Callable[Concatenate[Statements, Variant], Statement]:
    """Render what `build` writes once for each set of its arguments."""
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

    # --- The lookups: arguments in the order in which they are named ----------------------------------------------

    @kept
    def find_by_user(self, is_limited: bool) -> str:
        """The tasks of one user in one organization, newest first: `organization, user[, limit]`."""
        return (
            f"SELECT {ROW} FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_user)} "
            f"WHERE t.organization_id = :organization AND t.user_id = :user {NEWEST_FIRST}{limit(is_limited)}"
        )

    @kept
    def find_by_key(self, is_limited: bool) -> str:
        """The tasks of exactly one key in one organization, newest first: `organization, key[, limit]`."""
        return (
            f"SELECT {ROW} FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_key)} "
            f"WHERE t.organization_id = :organization AND t.task_key = :key {NEWEST_FIRST}{limit(is_limited)}"
        )

    @kept
    def find_by_prefix(self, has_end: bool, is_limited: bool) -> str:
        """The tasks of a range of keys in one organization, newest first: `organization, start[, end][, limit]`.

        With a limit, the newest ids are picked from the index of keys alone, and only then their rows are fetched:
        left to themselves, planners walk an index by time through every task outside the family.
        """
        below = " AND t.task_key < :end" if has_end else ""
        family = (
            f"FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_key)} "
            f"WHERE t.organization_id = :organization AND t.task_key >= :start{below}"
        )
        if not is_limited:
            return f"SELECT {ROW} {family} {NEWEST_FIRST}"
        picked = (
            f"SELECT t.id {family} ORDER BY t.created_at{self.dialect.unindexed} DESC, t.id DESC{limit(is_limited)}"
        )
        return f"{self.rows_of(picked)} {NEWEST_FIRST}"

    def rows_of(self, picked: str) -> str:
        """The rows of ids that a subquery picks."""
        join = self.dialect.ordered_join
        return f"SELECT {ROW} FROM ({picked}) AS picked {join} {self.tasks} AS t WHERE t.id = picked.id"

    # --- One task ---------------------------------------------------------------------------------------------------

    @kept
    def get(self, is_scoped: bool) -> str:
        """One whole record."""
        return f"{self.record()} WHERE t.id = :id{scope(is_scoped, 't.')}"

    @kept
    def standing(self) -> str:
        """What stands in the way of an insert: the record of its id, the holder of its key, or both."""
        return (
            f"{self.record()} WHERE t.id = :id UNION ALL "
            f"{self.record()} WHERE t.organization_id = :organization AND t.active_key = :active_key"
        )

    def record(self) -> str:
        """SELECT all fields of records FROM their tables."""
        source = "p" if self.tables.separate_payload_table else "t"
        names = ", ".join(f"{source if name in PAYLOAD_COLUMNS else 't'}.{name}" for name in COLUMNS.values())
        join = f" LEFT JOIN {self.payloads} AS p ON p.id = t.id" if self.tables.separate_payload_table else ""
        return f"SELECT {names} FROM {self.tasks} AS t{join}"

    @kept
    def insert(self) -> str:
        """A new task, with every column of its table."""
        return insert(self.tasks, TASK_COLUMNS if self.tables.separate_payload_table else COLUMNS.values())

    @kept
    def insert_unless_existing(self, names: tuple[str, ...]) -> str:
        """A new task, unless its id exists or its key is held, and without an error then.

        `names` are the columns that have a value, which are hardly more than half: each parameter takes time.
        """
        return insert(self.tasks, self.own_columns(names)) + self.dialect.skip_conflict

    def insert_in_order(self, names: tuple[str, ...], keeps_server_time: bool) -> Statement:
        """`insert_unless_existing`, unless `insert_moved` would change the times; all of them are the same here.

        Nearly every new task goes in by this, in half the time that `insert_moved` takes.
        """
        if not self.moves_times(names, keeps_server_time):
            return self.insert_unless_existing(names)
        return self.insert_unmoved(names, keeps_server_time)

    @kept
    def insert_unmoved(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        conditions = []
        given = self.bounded(":created_at", keeps_server_time)
        if given != ":created_at":
            conditions.append(f"{given} = :created_at")
        if "task_key" in names:
            conditions.append(f"NOT EXISTS ({self.earlier('1', keeps_server_time)} AND t.created_at >= :created_at)")
        columns = self.own_columns(names)
        return (
            f"INSERT INTO {self.tasks} ({', '.join(columns)}) SELECT {', '.join(f':{name}' for name in columns)} "
            f"WHERE {' AND '.join(conditions)}{self.dialect.skip_conflict}"
        )

    def own_columns(self, names: tuple[str, ...]) -> list[str]:
        """The columns that lie in the table of tasks itself."""
        apart = PAYLOAD_COLUMNS if self.tables.separate_payload_table else ()
        return [name for name in names if name not in apart]

    def moves_times(self, names: tuple[str, ...], keeps_server_time: bool) -> bool:
        """Whether a new task with these columns may get other times than it was given."""
        return "task_key" in names or (keeps_server_time and self.dialect.server_clock is not None)

    @kept
    def insert_moved(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        """`insert_unless_existing` with the times that are right here; those times, if it went in (ORDER-10, 12)."""
        values = self.moved_values(names, keeps_server_time, born="born.at")
        # LIMIT, so that the planner does not put it in the place of each `born.at`. WHERE, since SQLite would otherwise
        # take the ON of the conflict for that of a join.
        text = (
            f"INSERT INTO {self.tasks} ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"FROM (SELECT {self.birth(names, keeps_server_time)} AS at LIMIT 1) AS born "
            f"WHERE true{self.dialect.skip_conflict}"
        )
        row = f"SELECT {', '.join(TIMES)} FROM {self.tasks} WHERE id = :id"
        return self.dialect.changed_row(text, ", ".join(TIMES), row)

    @kept
    def insert_or_return(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        """`insert_moved`; the whole record that then stands, in this order.

        For MariaDB, where a value may name a column before it, and a SELECT from the same table takes a temporary one.
        """
        birth = {"created_at": self.birth(names, keeps_server_time)}
        values = birth | self.moved_values(names, keeps_server_time, born="created_at") | birth
        text = f"INSERT INTO {self.tasks} ({', '.join(values)}) VALUES ({', '.join(values.values())})"
        return f"{text}{self.dialect.skip_conflict} RETURNING {', '.join(COLUMNS.values())}"

    def moved_values(self, names: tuple[str, ...], keeps_server_time: bool, *, born: str) -> dict[str, str]:
        """The expression of each column of a new task, for which `born` names the time of its creation."""
        values = {name: f":{name}" for name in self.own_columns(names)}
        values["created_at"] = born
        for name in TIMES[1:]:
            if name in values:
                values[name] = f"{self.dialect.latest}({self.bounded(f':{name}', keeps_server_time)}, {born})"
        return values

    def birth(self, names: tuple[str, ...], keeps_server_time: bool) -> str:
        """When a new task is created: later than each earlier one of its key, except those of the far future."""
        given = self.bounded(":created_at", keeps_server_time)
        if "task_key" not in names:
            return given
        newest = self.earlier("max(t.created_at)", keeps_server_time)
        return f"{self.dialect.latest}({given}, coalesce(({newest}) + 1, {given}))"

    def earlier(self, columns: str, keeps_server_time: bool) -> str:
        """SELECT from the earlier tasks of a new task's key, except those of the far future."""
        bound = ":horizon"
        if keeps_server_time and self.dialect.server_clock is not None:
            bound = f"{self.dialect.server_clock} + {CLOCK_TOLERANCE}"
        return (
            f"SELECT {columns} FROM {self.tasks} AS t{self.dialect.index_hint(self.tables.by_key)} "
            f"WHERE t.organization_id = :organization_id AND t.task_key = :task_key AND t.created_at <= {bound}"
        )

    def bounded(self, moment: str, keeps_server_time: bool) -> str:
        """The moment, brought close to the server's clock where there is one and it counts."""
        clock = self.dialect.server_clock
        if clock is None or not keeps_server_time:
            return moment
        return f"least(greatest({moment}, {clock} - {CLOCK_TOLERANCE}), {clock} + {CLOCK_TOLERANCE})"

    @kept
    def insert_payloads(self) -> str:
        """The payloads of a new task, where they lie apart."""
        return insert(self.payloads, ("id", *PAYLOAD_COLUMNS))

    def existing(self, condition: str) -> Statement:
        """The ids that are taken, of those that the condition names."""
        return self.render(f"SELECT id FROM {self.tasks} WHERE {condition}")

    @kept
    def update(
        self, names: tuple[str, ...], allowed: tuple[str, ...], marks: tuple[bool, bool, bool], is_scoped: bool
    ) -> str:
        """Change columns of a task whose status allows it; `marks` are (starts, ends, keeps the server's time).

        Returns the row.
        """
        update = self.change(names, allowed, marks, is_scoped)
        row = f"SELECT {ROW} FROM {self.tasks} AS t WHERE t.id = :id{scope(is_scoped)}"
        return self.dialect.changed_row(update, RETURNED_ROW, row)

    @kept
    def update_only(
        self, names: tuple[str, ...], allowed: tuple[str, ...], marks: tuple[bool, bool, bool], is_scoped: bool
    ) -> str:
        """`update` without the row, for a transaction of many."""
        return self.change(names, allowed, marks, is_scoped)

    def change(
        self, names: tuple[str, ...], allowed: tuple[str, ...], marks: tuple[bool, bool, bool], is_scoped: bool
    ) -> str:
        # `updated_at` comes last: MariaDB assigns from left to right and reads what it has just written.
        starts, ends, keeps_server_time = marks
        moment = f"{self.dialect.latest}({self.bounded(':now', keeps_server_time)}, updated_at + 1)"
        changes = [f"{name} = :{name}" for name in names]
        changes += [f"started_at = coalesce(started_at, {moment})"] if starts else []
        changes += [f"finished_at = {moment}", "active_key = NULL"] if ends else []
        return (
            f"UPDATE {self.tasks} SET {', '.join([*changes, f'updated_at = {moment}'])} "
            f"WHERE id = :id AND status IN ({quoted(allowed)}){scope(is_scoped)}"
        )

    @kept
    def put_payloads(self, names: tuple[str, ...]) -> str:
        """Set payloads of a task that may have none yet, where they lie apart."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in names)
        return f"{insert(self.payloads, ('id', *names))} ON CONFLICT (id) DO UPDATE SET {changes}"

    @kept
    def clear_payloads(self, names: tuple[str, ...]) -> str:
        """Remove payloads of a task, where they lie apart."""
        return f"UPDATE {self.payloads} SET {', '.join(f'{name} = NULL' for name in names)} WHERE id = :id"

    # --- Many tasks -------------------------------------------------------------------------------------------------

    @kept
    def prune(self, is_scoped: bool, has_user: bool) -> str:
        """Remove a batch of ended tasks, the oldest first: `before, batch[, organization][, user]`."""
        user = " AND user_id = :user" if has_user else ""
        old = f"{ENDED} AND updated_at < :before{scope(is_scoped)}{user} ORDER BY updated_at LIMIT :batch"
        return self.dialect.delete_batch(self.tasks, old)

    @kept
    def delete_payloads(self) -> str:
        """The payloads of a task that is gone, where they lie apart."""
        return f"DELETE FROM {self.payloads} WHERE id = :id"

    def page(self, conditions: str, sort: Sort) -> Statement:
        """One page of the read model. Ids are sorted and skipped first, so that a deep page reads no rows before it."""
        order = self.order(sort)
        picked = f"SELECT t.id FROM {self.tasks} AS t{conditions} ORDER BY {order} LIMIT :limit OFFSET :offset"
        return self.render(f"{self.rows_of(picked)} ORDER BY {order}")

    def order(self, sort: Sort) -> str:
        fields = (sort.field,) if sort.field == "id" else (sort.field, "id")
        return ", ".join(self.dialect.order(f"t.{field}", descending=sort.descending) for field in fields)

    def count(self, conditions: str) -> Statement:
        """How many tasks meet the conditions."""
        return self.render(f"SELECT count(*) FROM {self.tasks} AS t{conditions}")

    # --- The schema -------------------------------------------------------------------------------------------------

    @kept
    def has_table(self) -> str:
        """Whether the table `name` exists."""
        return self.dialect.has_table()

    @kept
    def read_version(self) -> str:
        """The version of the schema, as text."""
        return f"SELECT value FROM {self.tables.meta_name} WHERE name = 'schema_version'"

    @kept
    def check_version(self) -> str:
        """The version of the schema; fails where a table is missing."""
        others = ", ".join(f"(SELECT id FROM {name} LIMIT 1)" for name in self.tables.names[1:])
        return f"SELECT value, {others} FROM {self.tables.meta_name} WHERE name = 'schema_version'"

    @kept
    def delete_version(self) -> str:
        return f"DELETE FROM {self.tables.meta_name} WHERE name = 'schema_version'"

    @kept
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
