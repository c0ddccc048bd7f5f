"""The interface of a database: its column types, its variants of SQL, its connections and its errors."""

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

    Every method must end by its deadline. It raises the driver's own errors, or `TaskBackendUnavailableError` if no
    time is left.
    """

    reusable = True
    """Whether the pool may use it for another call."""
    was_used = False
    """Whether it has served a call before, so that the server may have closed it since."""
    checked_at = math.inf
    """When its server was last known to be the primary, on the clock of `time.monotonic()`.

    Infinite if the pool must not check it: there is no other server, or each transaction checks it.
    """

    @abc.abstractmethod
    def is_current(self) -> bool:
        """Return whether an idle connection still leads to the store, as far as this is known without a round trip."""

    @abc.abstractmethod
    def fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """Return all rows, with text as `str`; a row that cannot be decoded is `None`."""

    def fetch_with_custom_plan(
        self, sql: str, arguments: Sequence[Any], deadline: float
    ) -> Sequence[StoredTuple | None]:
        """Run `fetch` for a statement that is rarely repeated: plan it for these arguments, and do not keep it."""
        return self.fetch(sql, arguments, deadline)

    def fetch_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """Run a statement of `Dialect.changed_row` and return one row, or none if nothing was changed."""
        return self.fetch(sql, arguments, deadline)

    @abc.abstractmethod
    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """Run a statement and return the number of rows that it wrote."""

    def begin(self, sql: str, deadline: float) -> None:
        """Begin a transaction by this statement, or by another one if the connection needs that."""
        self.execute(sql, (), deadline)

    @abc.abstractmethod
    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        """Run one statement for each of many rows, in a transaction that the caller has begun."""

    def load(self, insert: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        """Run `execute_many` for a plain `INSERT INTO table (columns) VALUES …` in the driver's fastest way."""
        self.execute_many(insert, rows, deadline)

    @abc.abstractmethod
    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """Return the plan of a SELECT, and the number of index entries and rows that it examined when run."""

    @abc.abstractmethod
    def recover(self, error: BaseException | None) -> bool:
        """Roll back an open transaction after an error and return whether the connection can serve another call.

        After an error that is neither the driver's nor ours, such as an interrupt, the state of the connection is
        unknown, so this returns false. Only a database in memory keeps its connection. `None` means such an interrupt.
        """

    def abandon(self) -> None:  # noqa: B027  # optional: an embedded database is closed before a fork
        """Detach the driver from the parent's connection in a forked child, so that it can send nothing there."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection. Never raises an error."""


class Dialect(abc.ABC):
    """One database at one URL."""

    compiler: Compiler
    """SQLAlchemy's dialect, which renders DDL, and named parameters in the driver's style."""
    types: ColumnTypes
    capabilities: Capabilities
    connections: int
    """How many connections may be open at once."""
    groups_writes = False
    """Whether concurrent writes of several threads share one transaction (`group_commit.py`)."""
    at_fork: Literal["abandon", "close", "keep"] = "abandon"
    """What happens to idle connections at a fork.

    `abandon`: the child must not touch them. `close`: the parent closes them before the fork. `keep`: the child uses
    its copies.
    """

    separate_payload_table: ClassVar[bool] = False
    """Whether payloads have a table of their own, because an update of a row rewrites the whole row."""
    begin: ClassVar[str] = "BEGIN"
    greatest: ClassVar[str] = "greatest"
    """The function that returns the largest of its arguments."""
    server_clock: ClassVar[str | None] = None
    """The expression for the server's time in microseconds since 1970, which has one value in a whole statement."""
    contains: ClassVar[str] = "instr"
    """The function that returns the position of its second argument in its first, or 0."""
    skip_conflict: ClassVar[str] = " ON CONFLICT DO NOTHING"
    """The end of an INSERT that must change nothing if the id exists or the key has a holder."""
    returns_existing = False
    """Whether such an INSERT can return the existing record. For some servers this is known after connecting."""
    ordered_join: ClassVar[str] = "CROSS JOIN"
    """The join of two tables which reads the left one first, if the database lets a statement choose the order."""
    unindexed: ClassVar[str] = ""
    """The text after a column in ORDER BY which keeps the planner from reading another index for the order."""

    def index_hint(self, index: str) -> str:
        """Return the text after a table in FROM which makes the planner use this index and no other."""
        return ""

    def order(self, column: str, *, descending: bool) -> str:
        """Return one term of ORDER BY; in ascending order absent values come first."""
        return f"{column} DESC" if descending else column

    @abc.abstractmethod
    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        """Return the condition that a column has one of the values, and its parameters, named after `name`."""

    def changed_row(self, change: str, columns: str, row: str) -> str:
        """Return a statement that runs the UPDATE or INSERT `change` and selects from the row that it wrote.

        It does so by RETURNING `columns` or, where there is no RETURNING, by the SELECT `row`.
        """
        return f"{change} RETURNING {columns}"

    def delete_batch(self, table: str, old: str) -> str:
        """Return a statement that deletes the rows which `old` (condition, order, limit) selects.

        It returns their ids, or their number where there is no RETURNING.
        """
        batch = f"SELECT id FROM {table} WHERE {old}"  # noqa: S608  # names of ours only
        return f"DELETE FROM {table} WHERE id IN ({batch}) RETURNING id"  # noqa: S608  # the same

    def analyze(self, table: str) -> str:
        """Return the statement that gathers statistics for the planner."""
        return f"ANALYZE {table}"

    @abc.abstractmethod
    def has_table(self) -> str:
        """Return the SELECT that has a row if the table `:name` exists."""

    # --- Connections ------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def prepare_location(self, create: bool) -> bool:
        """Return whether a schema can exist at the location. This is called before a connection is opened.

        With `create`, an absent file is created. Raises `ConfigurationError` if no store can be at the location.
        """

    @abc.abstractmethod
    def connect(self, deadline: float) -> Connection:
        """Return a new connection whose session has our settings."""

    def check_role(self, connection: Connection, deadline: float) -> bool:
        """Return whether the server of an idle connection is still the primary.

        The pool calls this before it uses a connection whose last check is older than `ROLE_SECONDS`. If this returns
        false or raises, the pool closes the connection and connects again, so `connect` must refuse a server that is
        not the primary. A connection that checks the role in the round trip of the next statement needs no check here:
        its `checked_at` is infinite.
        """
        return True

    def lost_role(self, error: BaseException) -> bool:
        """Return whether a statement failed because the server is not the primary; the pool then connects again."""
        return False

    def reset_after_fork(self) -> None:  # noqa: B027  # optional: only servers have a thread that connects
        """Forget, in a forked child, the state that belongs to threads of the parent."""

    @abc.abstractmethod
    def setup_transaction(
        self, connection: Connection, namespace: str, deadline: float
    ) -> AbstractContextManager[None]:
        """Return a context in which only this process changes the schema, in one transaction where DDL allows it."""

    def define(self, connection: Connection, sql: str, deadline: float) -> None:
        """Run one statement of a step; do nothing if its table, column or index exists.

        On a server this raises `ConfigurationError` with the statement if the user lacks a right.
        """
        try:
            connection.execute(sql, (), deadline)
        except Exception as error:
            if not self.is_already_done(error):
                raise

    # --- Errors -----------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the store is away, busy or late."""

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether the database rolled the statement back in favour of another one, so that it can be retried."""
        return False

    @abc.abstractmethod
    def is_duplicate(self, error: BaseException) -> bool:
        """Return whether a unique index refused the row."""

    @abc.abstractmethod
    def is_already_done(self, error: BaseException) -> bool:
        """Return whether a step failed because the table, column or index that it creates exists."""

    @abc.abstractmethod
    def is_missing_schema(self, error: BaseException) -> bool:
        """Return whether a table, the database or the file does not exist."""

    def setup_fault(self, error: BaseException) -> str | None:
        """Return a description of the setup fault that made opening fail, or `None` for any other error."""
        return None

    # --- Insight ----------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def is_durable(self, connection: Connection, deadline: float) -> bool:
        """Return whether commits survive any end of the database's process; a power failure is not considered."""

    @abc.abstractmethod
    def diagnose(self, connection: Connection, deadline: float) -> Diagnosis:
        """Return versions, sizes and the settings that decide durability, with a warning for each weak one."""


def plan_lines(rows: Iterable[Sequence[Any] | None], column: int) -> Iterator[str]:
    for row in rows:
        if row is not None:
            yield str(row[column])
