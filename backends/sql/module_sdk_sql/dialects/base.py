"""What a database must bring: its types, its words in statements, its connections and its errors."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

from sqlalchemy.engine import Dialect as Compiler

from module_sdk.backends import Capabilities, Diagnosis
from module_sdk_sql.schema import ColumnTypes

StoredTuple = tuple[Any, ...]


class Connection(abc.ABC):
    """One connection of the driver, in autocommit, used by one call at a time.

    Every method ends by the deadline (on the clock of `time.monotonic()`) and raises the driver's own errors, or
    `TaskBackendUnavailableError` when there is no time left.
    """

    reusable = True
    """Whether the pool may hand it to another call."""
    was_used = False
    """Whether it has served a call before, so that the server may have gone since."""
    checked_at = math.inf
    """When its server was last known to be the primary, on the clock of `time.monotonic()`; infinite where there is
    no other server."""

    @abc.abstractmethod
    def is_current(self) -> bool:
        """Whether an idle connection still leads to the store, as far as that can be told without a trip there."""

    @abc.abstractmethod
    def fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """All rows; text comes as `str`, and a row that cannot be decoded as `None`."""

    def fetch_with_custom_plan(
        self, sql: str, arguments: Sequence[Any], deadline: float
    ) -> Sequence[StoredTuple | None]:
        """`fetch`, for a text that will hardly come again: planned for these arguments, and not kept."""
        return self.fetch(sql, arguments, deadline)

    def fetch_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """What the text of `Dialect.changed_row` gives: one row, or none if nothing was changed."""
        return self.fetch(sql, arguments, deadline)

    @abc.abstractmethod
    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """How many rows were written."""

    def begin(self, sql: str, deadline: float) -> None:
        """Begin a transaction, by this statement or by what a connection needs in its place."""
        self.execute(sql, (), deadline)

    @abc.abstractmethod
    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        """One statement for many rows, within a transaction that the caller has begun."""

    def load(self, insert: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        """`execute_many` of a plain `INSERT INTO table (columns) VALUES …`, by whatever is fastest here."""
        self.execute_many(insert, rows, deadline)

    @abc.abstractmethod
    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """The plan of a SELECT, and how many index entries and rows it examined when run."""

    @abc.abstractmethod
    def recover(self, error: BaseException | None) -> bool:
        """After an error: roll back what is open; whether the connection can serve another call.

        After anything but an error of the driver or of ours (an interrupt, which `None` stands for as well) nobody
        knows what the connection was doing: only a database that lives in it keeps it.
        """

    def abandon(self) -> None:  # noqa: B027  # optional: an embedded database is closed before a fork
        """In a forked child: let nothing that the driver may still do reach the parent's connection."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the connection back to the operating system; never raises."""


class Dialect(abc.ABC):
    """One database at one URL."""

    compiler: Compiler
    """SQLAlchemy's dialect: it renders DDL, and named parameters in the driver's style."""
    types: ColumnTypes
    capabilities: Capabilities
    connections: int
    """How many connections may be open at once."""
    groups_writes = False
    """Whether threads that write at once do so in one transaction (`group_commit.py`)."""
    at_fork: Literal["abandon", "close", "keep"] = "abandon"
    """What becomes of idle connections at a fork: the child must not touch them, the parent closes them before, or the
    child goes on with its copies."""

    separate_payload_table: ClassVar[bool] = False
    """Payloads lie in a table of their own, because rewriting a row rewrites what lies in it."""
    begin: ClassVar[str] = "BEGIN"
    latest: ClassVar[str] = "greatest"
    """The function that gives the largest of its arguments."""
    server_clock: ClassVar[str | None] = None
    """The expression for the server's time in microseconds since 1970, the same wherever it stands in a statement."""
    contains: ClassVar[str] = "instr"
    """The function that gives where in its first argument its second begins, or 0."""
    skip_conflict: ClassVar[str] = " ON CONFLICT DO NOTHING"
    """Ends an INSERT that must leave the table alone when the id exists or the key is held."""
    returns_existing = False
    """Whether such an INSERT can return the record that stands in its way. It may take a connection to know."""
    ordered_join: ClassVar[str] = "CROSS JOIN"
    """Joins two tables; where it can be said, the left one is read first."""
    unindexed: ClassVar[str] = ""
    """Follows a column in ORDER BY, so that no index but the hinted one is walked for the order."""

    def index_hint(self, index: str) -> str:
        """Follows a table in FROM: use this index and no other."""
        return ""

    def order(self, column: str, *, descending: bool) -> str:
        """One term of ORDER BY; absent values come first ascending."""
        return f"{column} DESC" if descending else column

    @abc.abstractmethod
    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        """The condition that a column has one of the values, and its parameters, named after `name`."""

    def changed_row(self, change: str, columns: str, row: str) -> str:
        """Run an UPDATE or INSERT, and select from the row it made: by RETURNING `columns`, or by the SELECT `row`."""
        return f"{change} RETURNING {columns}"

    def delete_batch(self, table: str, old: str) -> str:
        """Delete the rows that `old` (condition, order and limit) selects, and give their ids or count them."""
        batch = f"SELECT id FROM {table} WHERE {old}"  # noqa: S608  # names of ours only
        return f"DELETE FROM {table} WHERE id IN ({batch}) RETURNING id"  # noqa: S608  # the same

    def analyze(self, table: str) -> str:
        """The statement that gathers statistics for the planner."""
        return f"ANALYZE {table}"

    @abc.abstractmethod
    def has_table(self) -> str:
        """The SELECT that gives a row if the table `:name` exists."""

    # --- Connections ------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def check_place(self, create: bool) -> bool:
        """Before anything is opened: whether there can be a schema. Raises `ConfigurationError` for a bad place."""

    @abc.abstractmethod
    def connect(self, deadline: float) -> Connection:
        """A new connection, with the session's settings made."""

    def check_role(self, link: Connection, deadline: float) -> bool:
        """Whether the server of an idle connection is still the primary.

        The pool asks before it hands out a connection whose last check is older than `ROLE_SECONDS`. It closes the
        connection if this returns false or raises, and connects again, so `connect` must refuse a server that is not
        the primary. A dialect that can ask in the same trip as the next statement returns true here and asks then.
        """
        return True

    def lost_role(self, error: BaseException) -> bool:
        """Whether a statement failed since the server is not the primary (any more); the pool then connects again."""
        return False

    def reset_after_fork(self) -> None:  # noqa: B027  # optional: only servers have a thread that connects
        """In a forked child: forget what belongs to threads of the parent."""

    @abc.abstractmethod
    def setup_transaction(self, link: Connection, namespace: str, deadline: float) -> AbstractContextManager[None]:
        """Confines the steps of the schema to one process at a time; all of them, or none, where DDL allows."""

    def define(self, link: Connection, sql: str, deadline: float) -> None:
        """Run one statement of a step, unless what it makes is there already.

        Raises `ConfigurationError` with the statement where rights are missing.
        """
        try:
            link.execute(sql, (), deadline)
        except Exception as error:
            if not self.is_already_done(error):
                raise

    # --- Errors -----------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def is_unavailable(self, error: BaseException) -> bool:
        """The store is away, busy or late."""

    def is_deadlock(self, error: BaseException) -> bool:
        """The statement was given up for another's sake: nothing of it stays, and it can be run again."""
        return False

    @abc.abstractmethod
    def is_duplicate(self, error: BaseException) -> bool:
        """A unique index refused the row."""

    @abc.abstractmethod
    def is_already_done(self, error: BaseException) -> bool:
        """The table, column or index that a step makes exists."""

    @abc.abstractmethod
    def is_missing_schema(self, error: BaseException) -> bool:
        """A table, the database or the file does not exist."""

    def configuration_fault(self, error: BaseException) -> str | None:
        """What is wrong with the place or the rights, for an error met while opening; `None` for other errors."""
        return None

    # --- Insight ----------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def is_durable(self, link: Connection, deadline: float) -> bool:
        """Whether what was committed outlives the database's process, however that ends; power is another matter."""

    @abc.abstractmethod
    def diagnose(self, link: Connection, deadline: float) -> Diagnosis:
        """Versions, and the settings that decide durability."""


def plan_lines(rows: Iterable[Sequence[Any] | None], column: int) -> Iterator[str]:
    for row in rows:
        if row is not None:
            yield str(row[column])
