"""A connection to PostgreSQL that has its own session of the server."""

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
# A generic plan that was made for a small table is kept, and may use the wrong index when the table has grown. The
# server replans when it gathers statistics, which it does at most once a minute.
REPLAN_SECONDS: Final = 10.0


class PostgreSQLConnection(NetworkConnection):
    """A connection that reuses one cursor, which saves a fifth of a lookup, and receives results in binary form."""

    raw: psycopg.Connection[StoredTuple]
    errors = (psycopg.Error,)

    def __init__(self, raw: psycopg.Connection[StoredTuple], timeout_seconds: float) -> None:
        super().__init__(raw, raw.fileno())
        self.cursor = raw.cursor(binary=True)
        self.statement_seconds = math.ceil(timeout_seconds)
        self.planned_at = self.last_used
        self.session_pid = 0
        """The pid of the server process. It never changes if the connection has its own session."""

    def prepare_after(self, times: int | None) -> None:
        """Prepare each statement after so many runs, under a name that no other connection has.

        The driver's names count from zero in each connection. Behind an unnoticed pooler, another program may have
        prepared a different statement under such a name, and PostgreSQL would run that one. A unique name raises an
        error instead.
        """
        self.raw._prepared._prepared_idx = secrets.randbits(NAME_BITS)  # psycopg has no other way
        self.raw.prepare_threshold = times

    def probe(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple]:
        """Return all rows of a statement, but set no timeout before: the session may not be our own."""
        return self.bounded(deadline, lambda: self.cursor.execute(sql, arguments).fetchall())

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        if self.last_used - self.planned_at > REPLAN_SECONDS:
            self.planned_at = self.last_used
            self.cursor.execute("DISCARD PLANS", prepare=False)
        rows = self.cursor.execute(sql, arguments).fetchall()
        if len(rows) > MAXIMUM_KEPT_ROWS:
            self.release_result()
        return rows

    def release_result(self) -> None:
        """Free the cursor's last result: a large one would be in memory twice until the next call."""
        self.cursor.close()
        self.cursor = self.raw.cursor(binary=True)
        # libpq has freed its copy, but the process keeps the pages until they are trimmed. Without that they would add
        # to the memory of the rows.
        find_malloc_trim()(0)

    def fetch_with_custom_plan(
        self, sql: str, arguments: Sequence[Any], deadline: float
    ) -> Sequence[StoredTuple | None]:
        # A generic plan knows neither the LIMIT nor the values of filters, so the text contains the values.
        return self.bounded(deadline, self.run_planned, sql, arguments, deadline)

    def run_planned(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        with psycopg.ClientCursor(self.raw) as writer:
            text = writer.mogrify(sql, arguments)
        # The result must be binary: in text form, `extra_float_digits` of the server limits the digits of a float.
        return self.cursor.execute(text, prepare=False).fetchall()

    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        self.allow(deadline)
        return self.cursor.execute(sql, arguments).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.cursor.executemany(sql, rows)

    def load(self, insert: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        self.bounded_write(deadline, self.run_copy, insert, rows)

    def run_copy(self, insert: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert the rows by COPY, in a third of the time that one INSERT per row takes."""
        table = insert.removeprefix("INSERT INTO ").partition(" VALUES ")[0]
        with self.cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def allow(self, deadline: float) -> None:
        """Raise the server's timeout if the call may take longer; the watchdog ends shorter calls."""
        seconds = math.ceil(deadline - time.monotonic())
        if seconds > self.statement_seconds:
            self.cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(seconds * 1000)])
            self.statement_seconds = seconds

    def is_broken(self) -> bool:
        return self.raw.closed or self.raw.broken

    def recover(self, error: BaseException | None) -> bool:
        if not self.watch.was_shut and self.raw.info.transaction_status == TransactionStatus.IDLE:
            return isinstance(error, psycopg.Error | TaskBackendError)
        return super().recover(error)

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """Return the generic plan, which lookups use, with the rows that it read; rows that a filter dropped count."""
        numbers = itertools.count(1)
        prepared = re.sub("%s", lambda _: f"${next(numbers)}", sql)
        values = composing.SQL(", ").join(composing.Literal(value) for value in arguments)
        run = composing.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE module_sdk_explained ({})").format(values)
        self.execute(f"PREPARE module_sdk_explained AS {prepared}", (), deadline)
        try:
            (row,) = self.fetch(run.as_string(self.raw), (), deadline)
        finally:
            self.execute("DEALLOCATE module_sdk_explained", (), deadline)
        plan = (row or ([{"Plan": {}}],))[0]
        return json.dumps(plan, indent=1), sum_of_examined(plan)


@functools.cache
def find_malloc_trim() -> Callable[[int], object]:
    """Return glibc's call that returns free pages to the system; other C libraries do without one."""
    import ctypes  # noqa: PLC0415  # needed for large results only

    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return bool
    return trim


def sum_of_examined(plan: Any) -> int:
    """Return the number of rows and index entries that all nodes of a plan in JSON read."""
    return round(sum(map(examined, nodes(plan[0]["Plan"]))))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def examined(node: dict[str, Any]) -> float:
    """Return the number of rows or index entries that a node read from a table or an index."""
    if not {"Relation Name", "Index Name"} & set(node):
        return 0.0
    dropped: float = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + dropped) * node["Actual Loops"])
