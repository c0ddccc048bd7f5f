"""One connection to PostgreSQL that has a session of the server to itself."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql as composing
from psycopg.pq import TransactionStatus

from module_sdk.backends import TaskBackendError
from module_sdk_sql.dialects.base import StoredTuple
from module_sdk_sql.dialects.network import NetworkConnection

MAXIMUM_KEPT_ROWS: Final = 5_000
NAME_BITS: Final = 62
# A generic plan that was made while the table was small is kept, and may walk the wrong index of one that has grown,
# until the server gathers statistics, which it does once a minute at most.
REPLAN_SECONDS: Final = 10.0


class PostgreSQLConnection(NetworkConnection):
    """Reuses one cursor, which saves a fifth of a lookup; results come in binary form."""

    connection: psycopg.Connection[StoredTuple]
    errors = (psycopg.Error,)

    def __init__(self, connection: psycopg.Connection[StoredTuple], timeout_seconds: float) -> None:
        super().__init__(connection, connection.fileno())
        self.cursor = connection.cursor(binary=True)
        self.statement_seconds = math.ceil(timeout_seconds)
        self.planned_at = self.last_used
        self.session_pid = 0
        """The process of the server that a connection to a session of its own always meets."""

    def prepare_after(self, times: int | None) -> None:
        """Prepare a statement after so many runs, under a name that no other connection has.

        The driver counts from zero in each connection. Should a pooler pass unnoticed, another program may have
        prepared another statement under such a name, and would answer for ours; a name of our own is an error there.
        """
        self.connection._prepared._prepared_idx = secrets.randbits(NAME_BITS)  # psycopg has no other way
        self.connection.prepare_threshold = times

    def probe(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple]:
        """All rows of a statement that runs before it is known whether the session may be changed."""
        return self.bounded(deadline, lambda: self.cursor.execute(sql, arguments).fetchall())

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        if self.last_used - self.planned_at > REPLAN_SECONDS:
            self.planned_at = self.last_used
            self.cursor.execute("DISCARD PLANS", prepare=False)
        rows = self.cursor.execute(sql, arguments).fetchall()
        if len(rows) > MAXIMUM_KEPT_ROWS:
            self.release_answer()
        return rows

    def release_answer(self) -> None:
        """A cursor keeps its last answer, and a large one would lie in memory twice until the next call."""
        self.cursor.close()
        self.cursor = self.connection.cursor(binary=True)
        # libpq's copy is free now, but not the system's again: its pages would stand beside the rows to be built.
        find_malloc_trim()(0)

    def fetch_with_custom_plan(
        self, sql: str, arguments: Sequence[Any], deadline: float
    ) -> Sequence[StoredTuple | None]:
        # A generic plan knows no LIMIT and no filter's value, so the values are written into the text.
        return self.bounded(deadline, self.run_planned, sql, arguments, deadline)

    def run_planned(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        with psycopg.ClientCursor(self.connection) as writer:
            text = writer.mogrify(sql, arguments)
        # In binary form: as text, a float has as many digits as the server's `extra_float_digits` says.
        return self.cursor.execute(text, prepare=False).fetchall()

    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        self.allow(deadline)
        return self.cursor.execute(sql, arguments).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.cursor.executemany(sql, rows)

    def load(self, insert: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        self.bounded_write(deadline, self.run_copy, insert, rows)

    def run_copy(self, insert: str, rows: Iterable[Sequence[Any]]) -> None:
        """COPY takes a third of the time of an INSERT for each row."""
        table = insert.removeprefix("INSERT INTO ").partition(" VALUES ")[0]
        with self.cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def allow(self, deadline: float) -> None:
        """Let the server work as long as a call may take; a shorter call than that is ended by the watchdog."""
        seconds = math.ceil(deadline - time.monotonic())
        if seconds > self.statement_seconds:
            self.cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(seconds * 1000)])
            self.statement_seconds = seconds

    def is_broken(self) -> bool:
        return self.connection.closed or self.connection.broken

    def recover(self, error: BaseException | None) -> bool:
        if not self.watch.was_shut and self.connection.info.transaction_status == TransactionStatus.IDLE:
            return isinstance(error, psycopg.Error | TaskBackendError)
        return super().recover(error)

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """The generic plan, as lookups get it, with rows measured; a row that a filter drops counts too."""
        numbers = itertools.count(1)
        prepared = re.sub("%s", lambda _: f"${next(numbers)}", sql)
        values = composing.SQL(", ").join(composing.Literal(value) for value in arguments)
        run = composing.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE module_sdk_explained ({})").format(values)
        self.execute(f"PREPARE module_sdk_explained AS {prepared}", (), deadline)
        try:
            (row,) = self.fetch(run.as_string(self.connection), (), deadline)
        finally:
            self.execute("DEALLOCATE module_sdk_explained", (), deadline)
        plan = (row or ([{"Plan": {}}],))[0]
        return json.dumps(plan, indent=1), sum_of_examined(plan)


@functools.cache
def find_malloc_trim() -> Callable[[int], object]:
    """glibc's call that gives free pages back to the system; other C libraries have none, and need none."""
    import ctypes  # noqa: PLC0415  # for large answers only

    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return bool
    return trim


def sum_of_examined(plan: Any) -> int:
    """The rows and index entries that all nodes of a plan in JSON read."""
    return round(sum(map(examined, nodes(plan[0]["Plan"]))))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def examined(node: dict[str, Any]) -> float:
    """Rows or index entries that a node read from a table or an index."""
    if not {"Relation Name", "Index Name"} & set(node):
        return 0.0
    dropped: float = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + dropped) * node["Actual Loops"])
