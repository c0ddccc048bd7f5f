"""PostgreSQL through psycopg 3: prepared statements, generic plans, text compared by bytes."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql as composing
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper
from sqlalchemy import BIGINT, DOUBLE_PRECISION, TEXT
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL

from module_sdk.backends import ConfigurationError, Diagnosis, TaskBackendError
from module_sdk_sql.dialects.base import Link, StoredTuple
from module_sdk_sql.dialects.server import ServerDialect, ServerLink
from module_sdk_sql.schema import ColumnTypes

OLDEST_POSTGRESQL: Final = 12  # the first with plan_cache_mode
LEAST_CONNECT_SECONDS: Final = 2  # libpq takes less for this much
PREPARE_AFTER: Final = 2
MOST_KEPT_ROWS: Final = 5_000
# A generic plan that was made while the table was small is kept, and may walk the wrong index of one that has grown,
# until the server gathers statistics, which it does once a minute at most.
REPLAN_SECONDS: Final = 10.0
LOCK_CLASS: Final = 0x6D736B  # the first half of the advisory lock's key; the namespace is the second

# Classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
UNAVAILABLE: Final = re.compile("08|57P|40001|40P01|25006|53300|53400|55P03|57014")
DEADLOCK: Final = ("40001", "40P01")
LACKS_RIGHT: Final = "42501"
PLACE_FAULTS: Final = {
    "28P01": "the password is wrong",
    "28000": "the server does not let this user in",
    "3D000": "the database does not exist",
    "42501": "the user lacks a right",
    "3F000": "there is no schema to create tables in",
}
# libpq tells no code for a refused connection, so these are recognized by an English server's words.
CONNECT_FAULTS: Final = {
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
    'role ".*" does not exist': "28000",
    'database ".*" does not exist': "3D000",
    "no password supplied": "28P01",
}

SETTINGS: Final = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('statement_timeout', %s, false),
       current_setting('server_encoding')
"""


class PostgreSQLDialect(ServerDialect):
    types = ColumnTypes(
        key_text=lambda maximum: TEXT(collation="C"),
        long_text=TEXT(collation="C"),
        integer=BIGINT(),
        real=DOUBLE_PRECISION(),
        table_options={},
    )
    contains = "strpos"
    unindexed = " + 0"

    def __init__(self, url: URL, connections: int, timeout_seconds: float) -> None:
        super().__init__(connections, timeout_seconds)
        compiler: Any = PGDialect_psycopg
        self.compiler = compiler(dbapi=psycopg, paramstyle="format")
        _, self.arguments = self.compiler.create_connect_args(url)
        self.arguments.pop("context", None)
        # Reads too: they must see their own writes, which a standby may not have yet.
        self.arguments.setdefault("target_session_attrs", "read-write")
        self.arguments.setdefault("application_name", "module-sdk")
        self.arguments["client_encoding"] = "UTF8"
        self.adapters = AdaptersMap(psycopg.adapters)
        # Otherwise each size of integer makes another prepared statement.
        self.adapters.register_dumper(int, Int8BinaryDumper)

    def order(self, column: str, *, descending: bool) -> str:
        term = super().order(column, descending=descending)
        # Only where a value may be absent: an index is not read in an order that it does not have.
        return f"{term} NULLS {'LAST' if descending else 'FIRST'}" if column.endswith("task_key") else term

    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        return f"{column} = ANY(:{name})", {name: list(values)}

    def has_table(self) -> str:
        return "SELECT 1 WHERE to_regclass(:name) IS NOT NULL"

    def delete_batch(self, table: str, old: str) -> str:
        return super().delete_batch(table, f"{old} FOR UPDATE")

    # --- Connections ------------------------------------------------------------------------------------------------

    def connect_now(self, deadline: float) -> Link:
        seconds = max(LEAST_CONNECT_SECONDS, math.ceil(deadline - time.monotonic()))
        connection = psycopg.connect(
            **{**self.arguments, "connect_timeout": seconds},
            autocommit=True,
            prepare_threshold=PREPARE_AFTER,
            context=self.adapters,
        )
        try:
            link = PostgreSQLLink(connection, self.timeout_seconds)
            version = connection.info.server_version // 10_000
            if version < OLDEST_POSTGRESQL:
                raise ConfigurationError(f"PostgreSQL {version} is too old: at least {OLDEST_POSTGRESQL} is needed")
            milliseconds = str(link.statement_seconds * 1000)
            (settings,) = link.fetch(SETTINGS, [milliseconds], deadline)
            encoding = settings[-1] if settings else None
            if encoding != "UTF8":
                raise ConfigurationError(f"the database is encoded in {encoding}: use one that is encoded in UTF8")
        except BaseException:
            connection.close()
            raise
        return link

    @contextlib.contextmanager
    def setup_transaction(self, link: Link, namespace: str, deadline: float) -> Iterator[None]:
        link.execute("BEGIN", (), deadline)
        # CREATE TABLE IF NOT EXISTS fails when several processes run it at once.
        key = zlib.crc32(namespace.encode()) - 2**31
        link.fetch(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {key})::text", (), deadline)
        # An advisory lock does not make the server forget that, a moment ago, it found no such table: opening one does.
        link.fetch("SELECT count(*)::text FROM pg_class", (), deadline)
        yield
        link.execute("COMMIT", (), deadline)

    # --- Errors -----------------------------------------------------------------------------------------------------

    def is_unavailable(self, error: BaseException) -> bool:
        if not isinstance(error, psycopg.Error):
            return isinstance(error, OSError)
        if error.sqlstate is None:
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return UNAVAILABLE.match(error.sqlstate) is not None

    def is_deadlock(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.Error) and error.sqlstate in DEADLOCK

    def is_duplicate(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.errors.UniqueViolation)

    def lacks_right(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.Error) and error.sqlstate == LACKS_RIGHT

    def place_fault(self, error: BaseException) -> str | None:
        if not isinstance(error, psycopg.Error):
            return None
        if error.sqlstate is not None:
            return PLACE_FAULTS.get(error.sqlstate)
        codes = (code for words, code in CONNECT_FAULTS.items() if re.search(words, str(error)))
        return PLACE_FAULTS.get(next(codes, ""))

    # --- Insight ----------------------------------------------------------------------------------------------------

    def is_durable(self, link: Link, deadline: float) -> bool:
        return link.fetch("SELECT current_setting('synchronous_commit')", (), deadline)[0] != ("off",)

    def diagnose(self, link: Link, deadline: float) -> Diagnosis:
        query = """
            SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
                   current_setting('full_page_writes'), current_setting('server_encoding'),
                   (SELECT datcollate FROM pg_database WHERE datname = current_database()),
                   pg_size_pretty(pg_database_size(current_database())),
                   (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        """
        (row,) = link.fetch(query, (), deadline)
        version, fsync, commit, full_pages, encoding, collation, size, clock = row or ("?",) * 8
        difference = clock / 1000 - time.time() if row else 0.0
        facts = {
            "server": f"PostgreSQL {version}",
            "driver": f"psycopg {psycopg.__version__}",
            "size": str(size),
            "fsync": str(fsync),
            "synchronous_commit": str(commit),
            "full_page_writes": str(full_pages),
            "encoding": f"{encoding}, {collation}",
            "clock": f"{difference:+.3f} seconds",
        }
        warnings = []
        warnings += [
            f"{name} is off: a power failure can destroy the database"
            for name in ("fsync", "full_page_writes")
            if facts[name] != "on"
        ]
        if commit == "off":
            warnings.append("synchronous_commit is off: a crash of the server can lose tasks that were acknowledged")
        if abs(difference) > 1:
            warnings.append(f"the server's clock differs from this host's by {difference:+.1f} seconds")
        return Diagnosis(facts, warnings)


class PostgreSQLLink(ServerLink):
    """Reuses one cursor, which saves a fifth of a lookup; results come in binary form."""

    connection: psycopg.Connection[StoredTuple]
    errors = (psycopg.Error,)

    def __init__(self, connection: psycopg.Connection[StoredTuple], timeout_seconds: float) -> None:
        super().__init__(connection, connection.fileno())
        self.cursor = connection.cursor(binary=True)
        self.statement_seconds = math.ceil(timeout_seconds)
        self.planned_at = self.last_used

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        if self.last_used - self.planned_at > REPLAN_SECONDS:
            self.planned_at = self.last_used
            self.cursor.execute("DISCARD PLANS", prepare=False)
        rows = self.cursor.execute(sql, arguments).fetchall()
        if len(rows) > MOST_KEPT_ROWS:
            # A cursor keeps its last answer, and this one would lie in memory twice until the next call.
            self.cursor.close()
            self.cursor = self.connection.cursor(binary=True)
            # libpq's copy is free now, but not the system's again: its pages would stand beside the rows to be built.
            find_malloc_trim()(0)
        return rows

    def fetch_planned(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        # A generic plan knows no LIMIT and no filter's value. This cursor writes the values into the text itself.
        return self.bounded(deadline, self.run_planned, sql, arguments, deadline)

    def run_planned(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple]:
        self.allow(deadline)
        with psycopg.ClientCursor(self.connection) as cursor:
            return cursor.execute(sql, arguments).fetchall()

    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        self.allow(deadline)
        return self.cursor.execute(sql, arguments).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.cursor.executemany(sql, rows)

    def load(self, insert: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
        self.bounded(deadline, self.run_copy, insert, rows)

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
        return json.dumps(plan, indent=1), round(sum(map(examined, nodes(plan[0]["Plan"]))))


@functools.cache
def find_malloc_trim() -> Callable[[int], object]:
    """glibc's call that gives free pages back to the system; other C libraries have none, and need none."""
    import ctypes  # noqa: PLC0415  # for large answers only

    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return bool
    return trim


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
