"""MariaDB and MySQL, through PyMySQL or, where it is installed, mysqlclient. The server stores all text as bytes."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import math
import os
import socket
import time
import zlib
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from sqlalchemy import BIGINT
from sqlalchemy.dialects.mysql import DOUBLE, LONGBLOB, VARBINARY
from sqlalchemy.dialects.mysql.mysqldb import MySQLDialect_mysqldb
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.engine import URL

from module_sdk.backends import (
    ConfigurationError,
    Diagnosis,
    ManagerOptions,
    TaskBackendUnavailableError,
    check_with_driver,
    clock_difference,
    watchdog,
)
from module_sdk_sql.dialects.base import Connection
from module_sdk_sql.dialects.mariadb.connection import MariaDBConnection, MySQLdbConnection, PyMySQLConnection
from module_sdk_sql.dialects.network import ServerDialect
from module_sdk_sql.options import MariaDBOptions
from module_sdk_sql.schema import ColumnTypes

# Client flags: https://mariadb.com/kb/en/connection/#capabilities
FOUND_ROWS: Final = 1 << 1  # a matched but unchanged row counts as changed
MULTI_STATEMENTS: Final = 1 << 16  # several statements in one round trip
DEFAULT_PORT: Final = 3306
# MariaDB's INSERT … RETURNING; MySQL has none.
RETURNING_SINCE: Final = (10, 5)

# Values of innodb_flush_log_at_trx_commit: flush at each commit (3 is an older way), or up to a second later.
FLUSHED: Final = (1, 3)
FLUSH_LATER: Final = 0
# MariaDB's default. A longer statement makes the server close the connection, as if the server were away.
LEAST_PACKET_BYTES: Final = 16_777_216

# https://mariadb.com/kb/en/mariadb-error-code-reference/
UNAVAILABLE: Final = frozenset(
    (0, 1040, 1053, 1129, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1290, 1317, 1836, 1927, 1969, 3024)
)
CLIENT_ERRORS: Final = range(2000, 3000)
# Writes that --read-only or a similar option refuses.
READ_ONLY: Final = (1290, 1836)
OFF: Final = ("0", "OFF")
DEADLOCK: Final = (1205, 1213)
DUPLICATE: Final = 1062
LACKS_RIGHT: Final = (1044, 1142, 1227)
# An interrupted step may have done this already, because the databases commit each DDL statement at once.
ALREADY_DONE: Final = (1050, 1060, 1061)
# The database or a table was dropped.
MISSING_SCHEMA: Final = (1046, 1049, 1146)
SETUP_FAULTS: Final = {
    1044: "the user may not use the database",
    1045: "the user or the password is wrong",
    1046: "the URL names no database",
    1049: "the database does not exist",
    1142: "the user lacks a right",
    1227: "the user lacks a right",
    1698: "the user or the password is wrong",
}

# Results must not depend on settings of the server, of its `init_connect` or of the URL.
SETTINGS: Final = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
    # The driver escapes text for this character set, so `init_connect` must not change it.
    "SET NAMES utf8mb4",
    # A sort must compare whole keys and labels, which have up to 1,024 bytes and a few more in a sort, and needs a
    # buffer for such rows. With another `completion_type` COMMIT would begin a new transaction, which nothing would
    # commit.
    (
        "SET SESSION autocommit = 1, completion_type = 0, unique_checks = 1, sql_select_limit = 18446744073709551615, "
        "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', sql_auto_is_null = 0, "
        "sql_safe_updates = 0, sql_big_selects = 1, max_sort_length = 4096, sort_buffer_size = 2097152, "
        "innodb_lock_wait_timeout = {seconds}, {statement_timeout}"
    ),
)


class MariaDBDialect(ServerDialect):
    # The time when the statement began. The conversions to the session's time zone and back cancel out.
    server_clock = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
    skip_conflict = " ON DUPLICATE KEY UPDATE id = id"
    ordered_join = "STRAIGHT_JOIN"
    types = ColumnTypes(
        key_text=VARBINARY,
        long_text=LONGBLOB(),
        integer=BIGINT(),
        real=DOUBLE(),
        table_options={"mysql_engine": "InnoDB", "mysql_row_format": "DYNAMIC", "mysql_charset": "utf8mb4"},
    )

    def __init__(self, url: URL, options: ManagerOptions) -> None:
        super().__init__(options.max_connections, options.timeout_seconds)
        self.options = MariaDBOptions.parse(url, options)
        url = self.options.url
        self.driver = choose_driver(url.get_driver_name() if "+" in url.drivername else None)
        dialect = MySQLDialect_mysqldb if self.driver.__name__ == "MySQLdb" else MySQLDialect_pymysql
        self.compiler = dialect(dbapi=self.driver, paramstyle="format")
        check_with_driver(lambda: self.read_arguments(url), url.query, (Exception,))
        if not url.database:
            raise ConfigurationError("the URL names no database: write mysql://user@host/database")
        self.arguments["client_flag"] = (self.arguments.get("client_flag", 0) & ~FOUND_ROWS) | MULTI_STATEMENTS
        self.arguments |= {"charset": "utf8mb4", "use_unicode": True, "binary_prefix": True}

    def read_arguments(self, url: URL) -> None:
        """Set the driver's arguments. Raises the driver's error for an option that it refuses; contacts no server."""
        self.arguments = {**self.compiler.create_connect_args(url)[1], **self.options.typed}
        if self.driver.__name__ != "MySQLdb":
            self.driver.connect(**self.arguments, defer_connect=True)
            return
        # mysqlclient cannot defer the connection, so it tries a socket path where no server can be.
        nowhere = {"host": "localhost", "unix_socket": f"{os.devnull}/nothing"}
        with contextlib.suppress(self.driver.OperationalError):
            self.driver.connect(**{**self.arguments, **nowhere}).close()

    def index_hint(self, index: str) -> str:
        return f" FORCE INDEX ({index})"

    def any_of(self, column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        parameters = {f"{name}_{number}": value for number, value in enumerate(values)}
        return f"{column} IN ({', '.join(f':{parameter}' for parameter in parameters)})", parameters

    def has_table(self) -> str:
        return "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name"

    def changed_row(self, change: str, columns: str, row: str) -> str:
        # MariaDB has no UPDATE … RETURNING, and MySQL no RETURNING at all. A SELECT outside the transaction would show
        # later changes of others.
        return f"START TRANSACTION; {change}; {row}; COMMIT"

    def delete_batch(self, table: str, old: str) -> str:
        return f"DELETE FROM {table} WHERE {old}"  # noqa: S608  # names of ours only

    def analyze(self, table: str) -> str:
        return f"ANALYZE TABLE {table}"

    # --- Connections ------------------------------------------------------------------------------------------------

    def connect_now(self, deadline: float) -> Connection:
        connection = self.connect_driver(deadline)
        self.returns_existing = connection.is_mariadb and connection.version() >= RETURNING_SINCE
        try:
            if not self.check_role(connection, deadline):
                raise TaskBackendUnavailableError("the server is read-only, so it is not the primary")
            for setting in SETTINGS:
                values = {
                    "seconds": math.ceil(self.timeout_seconds),
                    "statement_timeout": connection.statement_timeout(),
                }
                connection.execute(setting.format(**values), (), deadline)
        except BaseException:
            connection.close()
            raise
        return connection

    def check_role(self, connection: Connection, deadline: float) -> bool:
        (row,) = connection.fetch("SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only", (), deadline)
        return all(str(value).upper() in OFF for value in row or ("unknown",))

    def lost_role(self, error: BaseException) -> bool:
        return isinstance(error, self.driver.Error) and number_of(error) in READ_ONLY

    def connect_driver(self, deadline: float) -> MariaDBConnection:
        """Return a connection whose session still has the settings of the server."""
        seconds = deadline - time.monotonic()
        seconds = min(seconds, self.options.connect_seconds or seconds)
        if seconds <= 0:
            raise TaskBackendUnavailableError("no time was left to connect")
        if self.driver.__name__ == "MySQLdb":
            raw = self.driver.connect(**self.arguments, autocommit=True, connect_timeout=math.ceil(seconds))
            return MySQLdbConnection(raw, raw.fileno(), self.timeout_seconds)
        # PyMySQL has no timeout for the whole handshake, so it uses a socket that the watchdog shuts at the deadline.
        stream = open_socket(self.arguments, seconds)
        # TLS takes over the socket object and its descriptor.
        own_stream, driver_descriptor = stream.dup(), stream.fileno()
        watch = watchdog.watch(own_stream.fileno())
        watchdog.begin(watch, deadline)
        try:
            raw = self.driver.connect(**self.arguments, autocommit=True, defer_connect=True)
            raw.connect(stream)
            return PyMySQLConnection(raw, own_stream, driver_descriptor, self.timeout_seconds)
        except BaseException:
            stream.close()
            own_stream.close()
            raise
        finally:
            watchdog.end(watch)
            watchdog.forget(watch)

    @contextlib.contextmanager
    def setup_transaction(self, connection: Connection, namespace: str, deadline: float) -> Iterator[None]:
        (row,) = connection.fetch("SELECT DATABASE()", (), deadline)
        # Locks belong to the server, not to the database, so the name must contain the database. It may have at most 64
        # characters.
        name = f"module_sdk_{namespace}_{zlib.crc32(str(row).encode()):08x}"
        seconds = max(0, math.floor(deadline - time.monotonic()))
        (row,) = connection.fetch("SELECT GET_LOCK(%s, %s)", [name, seconds], deadline)
        if row is None or row[0] != 1:
            raise TaskBackendUnavailableError("another process was still setting up the schema at the deadline")
        try:
            yield
        finally:
            connection.fetch("SELECT RELEASE_LOCK(%s)", [name], deadline)

    # --- Errors -----------------------------------------------------------------------------------------------------

    def is_unavailable(self, error: BaseException) -> bool:
        if isinstance(error, OSError):
            return True
        return isinstance(error, self.driver.Error) and (
            number_of(error) in UNAVAILABLE or number_of(error) in CLIENT_ERRORS
        )

    def is_deadlock(self, error: BaseException) -> bool:
        return isinstance(error, self.driver.Error) and number_of(error) in DEADLOCK

    def is_duplicate(self, error: BaseException) -> bool:
        return isinstance(error, self.driver.Error) and number_of(error) == DUPLICATE

    def is_already_done(self, error: BaseException) -> bool:
        return isinstance(error, self.driver.Error) and number_of(error) in ALREADY_DONE

    def is_missing_schema(self, error: BaseException) -> bool:
        return isinstance(error, self.driver.Error) and number_of(error) in MISSING_SCHEMA

    def lacks_right(self, error: BaseException) -> bool:
        return isinstance(error, self.driver.Error) and number_of(error) in LACKS_RIGHT

    def fault_of_code(self, error: BaseException) -> str | None:
        return SETUP_FAULTS.get(number_of(error)) if isinstance(error, self.driver.Error) else None

    # --- Insight ----------------------------------------------------------------------------------------------------

    def is_durable(self, connection: Connection, deadline: float) -> bool:
        rows = connection.fetch("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit", (), deadline)
        return rows[0] != (FLUSH_LATER,)

    def diagnose(self, connection: Connection, deadline: float) -> Diagnosis:
        query = """
            SELECT VERSION(), @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.innodb_doublewrite,
                   @@GLOBAL.max_allowed_packet, @@GLOBAL.sync_binlog,
                   (SELECT sum(data_length + index_length) FROM information_schema.tables
                    WHERE table_schema = DATABASE()),
                   CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED)
        """
        before = time.time()
        (row,) = connection.fetch(query, (), deadline)
        after = time.time()
        version, flush, double_write, packet, binlog, size, clock = row or ("?", 1, 1, 0, 0, 0, 0)
        difference = clock_difference(clock / 1000, before, after)
        facts = {
            "server": str(version),
            "driver": driver_version(self.driver),
            "size": f"{int(size or 0):,} bytes",
            "innodb_flush_log_at_trx_commit": str(flush),
            "innodb_doublewrite": str(double_write),
            "sync_binlog": str(binlog),
            "max_allowed_packet": f"{packet:,} bytes",
        }
        warnings = []
        if flush not in FLUSHED:
            cause = "a crash of the server" if flush == FLUSH_LATER else "a power failure"
            warnings.append(
                f"innodb_flush_log_at_trx_commit is {flush}, not 1: {cause} can lose tasks that were acknowledged"
            )
        if str(double_write) in ("0", "OFF"):
            warnings.append("innodb_doublewrite is off: a power failure can destroy the database")
        if packet < LEAST_PACKET_BYTES:
            warnings.append(
                f"max_allowed_packet is {packet:,} bytes, less than {LEAST_PACKET_BYTES:,}: a task with large payloads "
                "may not fit, and the error says that the server has gone away"
            )
        return Diagnosis(facts, warnings, difference)


def choose_driver(name: str | None) -> ModuleType:
    """Return the driver of this name; without a name, mysqlclient, which is twice as fast, or else PyMySQL."""
    if name != "pymysql":
        with contextlib.suppress(ImportError):
            return importlib.import_module("MySQLdb")
        if name == "mysqldb":
            raise ConfigurationError("mysql+mysqldb:// needs mysqlclient: pip install mysqlclient")
    return importlib.import_module("pymysql")


def driver_version(driver: ModuleType) -> str:
    # The modules name their versions differently, and PyMySQL's `__version__` is that of the library it replaces.
    distribution = "mysqlclient" if driver.__name__ == "MySQLdb" else "PyMySQL"
    return f"{distribution} {importlib.metadata.version(distribution)}"


def open_socket(arguments: dict[str, Any], seconds: float) -> socket.socket:
    path = arguments.get("unix_socket")
    if path:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(seconds)
        try:
            stream.connect(path)
        except BaseException:
            stream.close()
            raise
        return stream
    address = (arguments.get("host") or "localhost", int(arguments.get("port") or DEFAULT_PORT))
    stream = socket.create_connection(address, seconds)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return stream


def number_of(error: BaseException) -> int:
    """Return the server's or the driver's number of an error, or -1."""
    first = error.args[0] if error.args else -1
    return first if isinstance(first, int) else -1
