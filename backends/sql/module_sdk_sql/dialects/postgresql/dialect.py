"""PostgreSQL through psycopg 3: prepared statements, generic plans, text compared by bytes."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from sqlalchemy import BIGINT, DOUBLE_PRECISION, TEXT
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from module_sdk.backends import (
    ConfigurationError,
    Diagnosis,
    ManagerOptions,
    StoreURL,
    check_with_driver,
    clock_difference,
)
from module_sdk_sql.dialects.base import Connection
from module_sdk_sql.dialects.network import ServerDialect
from module_sdk_sql.dialects.postgresql.connection import PostgreSQLConnection
from module_sdk_sql.dialects.postgresql.errors import (
    LACKS_RIGHT,
    MISSING_SCHEMA,
    RETRYABLE,
    SETUP_FAULTS,
    UNAVAILABLE,
    code_of,
)
from module_sdk_sql.dialects.postgresql.pooled_connection import PINNED, PooledConnection
from module_sdk_sql.options import PostgreSQLOptions
from module_sdk_sql.schema import ColumnTypes

logger = logging.getLogger("module_sdk.tasks")

APPLICATION_NAME: Final = "module-sdk"
LIBPQ_OPTIONS: Final = frozenset(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())
REFUSED_VALUE: Final = re.compile(r"invalid \S+ value|invalid integer value|invalid value|not found|not supported")
OLDEST_POSTGRESQL: Final = 12  # the first with plan_cache_mode
LEAST_CONNECT_SECONDS: Final = 2  # libpq treats a shorter timeout as this one
LOCK_CLASS: Final = 0x6D736B  # the first half of the advisory lock's key; the namespace is the second

DEFINITION: Final = re.compile(r"^(CREATE TABLE|CREATE( UNIQUE)? INDEX|ALTER TABLE \S+ ADD COLUMN) ")
# A session is our own if its pid is that of the connection's key data and it is no older than the connection. The
# statement that changes settings must compare the pid itself: behind a pooler, the next statement may run in another
# session.
SETTINGS: Final = """
WITH session AS MATERIALIZED (
    SELECT %s OR (
        pg_backend_pid() = %s AND
        coalesce(
            (SELECT clock_timestamp() - backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()), '0'
        ) <= make_interval(secs => %s)
    ) AS is_ours
)
SELECT current_setting('server_encoding'),
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
       pg_backend_pid(), is_ours,
       CASE WHEN is_ours THEN set_config('plan_cache_mode', 'force_generic_plan', false) END,
       CASE WHEN is_ours THEN set_config('default_transaction_isolation', 'read committed', false) END,
       CASE WHEN is_ours THEN set_config('statement_timeout', %s, false) END,
       CASE WHEN is_ours THEN set_config('application_name', %s, false) END
FROM session
"""
# The values that settings have in a new session, whether or not another program has changed them in this one.
DEFAULTS: Final = "SELECT name, reset_val FROM pg_settings WHERE name = ANY(%s)"
# How much older than its connection our own session may appear to be.
AGE_MARGIN_SECONDS: Final = 1.0
ROLE: Final = "SELECT pg_backend_pid(), pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
READ_ONLY: Final = "25006"
UNKNOWN_STATEMENT: Final = "26000"


class PostgreSQLDialect(ServerDialect):
    types = ColumnTypes(
        key_text=lambda maximum: TEXT(collation="C"),
        long_text=TEXT(collation="C"),
        integer=BIGINT(),
        real=DOUBLE_PRECISION(),
        table_options={},
    )
    server_clock = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    contains = "strpos"
    unindexed = " + 0"

    def __init__(self, store_url: StoreURL, url: URL, options: ManagerOptions) -> None:
        super().__init__(options.max_connections, options.timeout_seconds)
        self.options = PostgreSQLOptions.parse(store_url, url, options, LIBPQ_OPTIONS)
        # Whether a pooler was detected behind a connection that was taken for a direct one.
        self.found_pooler = False
        compiler: Any = PGDialect_psycopg
        self.compiler = compiler(dbapi=psycopg, paramstyle="format")
        url = self.options.url
        check_with_driver(lambda: self.read_arguments(url), url.query, (SQLAlchemyError, ValueError, psycopg.Error))
        self.arguments["client_encoding"] = "UTF8"
        self.adapters = AdaptersMap(psycopg.adapters)
        # With psycopg's own dumpers, each size of integer would need another prepared statement.
        self.adapters.register_dumper(int, Int8BinaryDumper)

    def read_arguments(self, url: URL) -> None:
        """Set the driver's arguments. Raises libpq's error for an option that it refuses; no server is contacted."""
        _, self.arguments = self.compiler.create_connect_args(url)
        self.arguments.pop("context", None)
        # libpq checks all values before it connects. The socket path is one where no server can be.
        nowhere = {"host": f"{os.devnull}/nothing", "hostaddr": "", "port": ""}
        attempt = psycopg.pq.PGconn.connect_start(make_conninfo(**{**self.arguments, **nowhere}).encode())
        message = attempt.error_message.decode(errors="replace")
        attempt.finish()
        if REFUSED_VALUE.search(message):
            raise ValueError(message)

    def order(self, column: str, *, descending: bool) -> str:
        term = super().order(column, descending=descending)
        # Only for a column that may be NULL: with NULLS FIRST, an index in the default order is not used for the order.
        return f"{term} NULLS {'LAST' if descending else 'FIRST'}" if column.endswith("task_key") else term

    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        return f"{column} = ANY(:{name})", {name: list(values)}

    def has_table(self) -> str:
        return "SELECT 1 WHERE to_regclass(:name) IS NOT NULL"

    def delete_batch(self, table: str, old: str) -> str:
        return super().delete_batch(table, f"{old} FOR UPDATE")

    # --- Connections ------------------------------------------------------------------------------------------------

    def connect_now(self, deadline: float) -> Connection:
        """Return a connection to the primary, even if the URL asks for another role: reads must see the latest writes.

        The first attempt does not let libpq check the role, because a pooler repeats the answer of its first session.
        If that attempt meets a standby, the second one lets libpq try the other addresses of the host.
        """
        failure: psycopg.Error = psycopg.OperationalError("the URL names no host")
        for host in hosts_of(self.arguments):
            for role in ("any", "read-write"):
                try:
                    return self.connect_to({**self.arguments, **host, "target_session_attrs": role}, deadline)
                except psycopg.errors.ReadOnlySqlTransaction as error:
                    failure = error
                except psycopg.Error as error:
                    failure = error
                    break
        raise failure

    def connect_to(self, arguments: dict[str, Any], deadline: float) -> Connection:
        seconds = math.ceil(deadline - time.monotonic())
        seconds = max(LEAST_CONNECT_SECONDS, min(seconds, self.options.connect_seconds or seconds))
        began = time.monotonic()
        # No statement may be prepared before we know that the session is our own.
        raw = psycopg.connect(
            **{**arguments, "connect_timeout": seconds},
            autocommit=True,
            prepare_threshold=None,
            context=self.adapters,
        )
        try:
            return self.new_connection(raw, began, deadline)
        except BaseException:
            raw.close()
            raise

    def new_connection(self, raw: psycopg.Connection[Any], began: float, deadline: float) -> PostgreSQLConnection:
        """Determine whether the connection has its own session, and return an object of the right class."""
        version = raw.info.server_version // 10_000
        if version < OLDEST_POSTGRESQL:
            raise ConfigurationError(f"PostgreSQL {version} is too old: at least {OLDEST_POSTGRESQL} is needed")
        connection = PostgreSQLConnection(raw, self.timeout_seconds)
        try:
            pooled = True if self.found_pooler else self.options.is_pooled
            settings = [
                pooled is False,
                # No session has the pid 0, so this one does not count as our own.
                0 if pooled else raw.info.backend_pid,
                time.monotonic() - began + AGE_MARGIN_SECONDS,
                str(connection.statement_seconds * 1000),
                self.arguments.get("application_name", APPLICATION_NAME),
            ]
            ((encoding, takes_no_writes, connection.session_pid, is_ours, *_),) = connection.probe(
                SETTINGS, settings, deadline
            )
            if takes_no_writes:
                raise psycopg.errors.ReadOnlySqlTransaction("the server is not the primary: it takes no writes")
            if encoding != "UTF8":
                raise ConfigurationError(f"the database is encoded in {encoding}: use one that is encoded in UTF8")
            if is_ours:
                connection.prepare_after(self.options.prepare_after)
                return connection
            defaults = {str(name): str(value) for name, value in connection.probe(DEFAULTS, [list(PINNED)], deadline)}
        except BaseException:
            connection.close()
            raise
        return PooledConnection(connection.release(), self.timeout_seconds, defaults)

    def check_role(self, connection: Connection, deadline: float) -> bool:
        (row,) = connection.fetch(ROLE, (), deadline)
        pid, takes_no_writes = row or (0, True)
        if pid != cast("PostgreSQLConnection", connection).session_pid:
            self.find_pooler()
            return False
        return not takes_no_writes

    def lost_role(self, error: BaseException) -> bool:
        code = code_of(error)
        if code == UNKNOWN_STATEMENT:
            # A statement that was prepared in one session was executed in another.
            self.find_pooler()
        return code in (READ_ONLY, UNKNOWN_STATEMENT)

    def find_pooler(self) -> None:
        """Note that there is a pooler after all: from now on no connection counts as having its own session."""
        if not self.found_pooler:
            self.found_pooler = True
            logger.warning(
                "a pooler in transaction mode was taken for PostgreSQL itself; from now on each call runs in a "
                "transaction of its own: write pooler=true in the URL to avoid the detection"
            )

    @contextlib.contextmanager
    def setup_transaction(self, connection: Connection, namespace: str, deadline: float) -> Iterator[None]:
        connection.begin("BEGIN", deadline)
        # CREATE TABLE IF NOT EXISTS fails when several processes run it at once.
        key = zlib.crc32(namespace.encode()) - 2**31
        connection.fetch(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {key})::text", (), deadline)
        # The server may have cached that the tables do not exist. An advisory lock does not clear that cache, but
        # opening a table does.
        connection.fetch("SELECT count(*)::text FROM pg_class", (), deadline)
        yield
        connection.execute("COMMIT", (), deadline)

    def define(self, connection: Connection, sql: str, deadline: float) -> None:
        # IF NOT EXISTS, because an error would end the whole transaction.
        super().define(connection, DEFINITION.sub(r"\g<0>IF NOT EXISTS ", sql), deadline)

    # --- Errors -----------------------------------------------------------------------------------------------------

    def is_unavailable(self, error: BaseException) -> bool:
        if not isinstance(error, psycopg.Error):
            return isinstance(error, OSError)
        if error.sqlstate is None:
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return UNAVAILABLE.match(error.sqlstate) is not None

    def is_deadlock(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.Error) and error.sqlstate in RETRYABLE

    def is_duplicate(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.errors.UniqueViolation)

    def is_already_done(self, error: BaseException) -> bool:
        return False

    def is_missing_schema(self, error: BaseException) -> bool:
        return code_of(error) in MISSING_SCHEMA

    def lacks_right(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.Error) and error.sqlstate == LACKS_RIGHT

    def fault_of_code(self, error: BaseException) -> str | None:
        return SETUP_FAULTS.get(code_of(error))

    # --- Insight ----------------------------------------------------------------------------------------------------

    def is_durable(self, connection: Connection, deadline: float) -> bool:
        return connection.fetch("SELECT current_setting('synchronous_commit')", (), deadline)[0] != ("off",)

    def diagnose(self, connection: Connection, deadline: float) -> Diagnosis:
        query = """
            SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
                   current_setting('full_page_writes'), current_setting('server_encoding'),
                   (SELECT datcollate FROM pg_database WHERE datname = current_database()),
                   pg_size_pretty(pg_database_size(current_database())),
                   (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        """
        before = time.time()
        (row,) = connection.fetch(query, (), deadline)
        after = time.time()
        version, fsync, commit, full_pages, encoding, collation, size, clock = row or ("?",) * 8
        difference = clock_difference(clock / 1000, before, after) if row else 0.0
        is_pooled = isinstance(connection, PooledConnection)
        facts = {
            "server": f"PostgreSQL {version}",
            "pooler": "yes: nothing is prepared, and settings are those of a transaction" if is_pooled else "no",
            "driver": f"psycopg {psycopg.__version__}",
            "size": str(size),
            "fsync": str(fsync),
            "synchronous_commit": str(commit),
            "full_page_writes": str(full_pages),
            "encoding": f"{encoding}, {collation}",
        }
        warnings = []
        warnings += [
            f"{name} is off: a power failure can destroy the database"
            for name in ("fsync", "full_page_writes")
            if facts[name] != "on"
        ]
        if commit == "off":
            warnings.append("synchronous_commit is off: a crash of the server can lose tasks that were acknowledged")
        return Diagnosis(facts, warnings, difference)


def hosts_of(arguments: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the arguments `host`, `hostaddr` and `port` of each host that the URL names."""
    lists = {name: str(arguments[name]).split(",") for name in ("host", "hostaddr", "port") if arguments.get(name)}
    count = max((len(values) for values in lists.values()), default=1)
    # If there are fewer ports than hosts, libpq has one port for all.
    return [{name: values[min(index, len(values) - 1)] for name, values in lists.items()} for index in range(count)]
