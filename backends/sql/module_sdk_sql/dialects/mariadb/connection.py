"""One connection to MariaDB or MySQL, through either driver: text goes and comes as bytes."""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from module_sdk_sql.dialects.base import StoredTuple
from module_sdk_sql.dialects.network import NetworkConnection

# Some servers put the version of a protocol before their own.
VERSION: Final = re.compile(r"(?:5\.5\.5-)?(\d+)\.(\d+)")
# VAR_STRING, STRING and BLOB, as the protocol numbers types: https://mariadb.com/kb/en/result-set-packets/
TEXT_TYPES: Final = (253, 254, 252)


class MariaDBConnection(NetworkConnection):
    """Sends text as bytes and decodes what comes back."""

    def __init__(self, connection: Any, descriptor: int, timeout_seconds: float) -> None:
        super().__init__(connection, descriptor)
        self.errors = (connection.Error,)
        self.cursor = connection.cursor()
        self.is_mariadb = "mariadb" in str(connection.get_server_info()).lower()
        self.statement_seconds = math.ceil(timeout_seconds)

    def version(self) -> tuple[int, ...]:
        found = VERSION.search(str(self.connection.get_server_info()))
        return tuple(map(int, found.groups())) if found else (0, 0)

    def statement_timeout(self) -> str:
        """The assignment that lets the server work on one statement as long as a call may take."""
        if self.is_mariadb:
            return f"max_statement_time = {self.statement_seconds}"
        return f"max_execution_time = {self.statement_seconds * 1000}"

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        self.cursor.execute(sql, encoded(arguments))
        return [decoded(row) for row in self.cursor.fetchall()]

    def run_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        self.cursor.execute(sql, encoded(arguments))
        answers = []
        while True:
            answers.append((self.cursor.rowcount, [decoded(row) for row in self.cursor.fetchall()]))
            # An error of any of the statements, COMMIT included, is raised here.
            if not self.cursor.nextset():
                break
        _, (changed, _), (_, rows), _ = answers
        return rows if changed else []

    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        self.allow(deadline)
        self.cursor.execute(sql, encoded(arguments))
        return int(self.cursor.rowcount)

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        # As text: nothing is compared here, and a binary column takes its bytes.
        self.cursor.executemany(sql, list(rows))

    def allow(self, deadline: float) -> None:
        seconds = math.ceil(deadline - time.monotonic())
        if seconds > self.statement_seconds:
            self.statement_seconds = seconds
            self.cursor.execute(f"SET SESSION {self.statement_timeout()}")

    def is_broken(self) -> bool:
        return not getattr(self.connection, "open", True)

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """Rows are what the session's Handler_read counters rise by: reads of an index or a table, sorts included."""
        (row,) = self.fetch(f"EXPLAIN FORMAT=JSON {sql}", arguments, deadline)
        # Asking for the counters moves them too.
        first, second = self.reads(deadline), self.reads(deadline)
        self.fetch(sql, arguments, deadline)
        return str((row or ("",))[0]), self.reads(deadline) - second - (second - first)

    def reads(self, deadline: float) -> int:
        rows = self.fetch("SHOW SESSION STATUS LIKE 'Handler_read%%'", (), deadline)
        return sum(int(row[1]) for row in rows if row)


class PyMySQLConnection(MariaDBConnection):
    """Has a descriptor of its own for the socket, since PyMySQL closes its own when a call is interrupted."""

    def __init__(self, connection: Any, stream: socket.socket, driver_descriptor: int, timeout_seconds: float) -> None:
        self.stream = stream
        self.driver_descriptor = driver_descriptor
        super().__init__(connection, stream.fileno(), timeout_seconds)

    def descriptors(self) -> list[int]:
        # Once the driver has closed its own, the number may be that of another file.
        return super().descriptors() if self.is_broken() else [*super().descriptors(), self.driver_descriptor]

    def close(self) -> None:
        super().close()
        self.stream.close()


class MySQLdbConnection(MariaDBConnection):
    """Lets mysqlclient decode in C, which halves what Python does for a row."""

    def __init__(self, connection: Any, descriptor: int, timeout_seconds: float) -> None:
        super().__init__(connection, descriptor, timeout_seconds)
        self.as_bytes = connection.converter
        self.as_text = {**self.as_bytes, **dict.fromkeys(TEXT_TYPES, str)}

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        self.connection.converter = self.as_text
        try:
            self.cursor.execute(sql, encoded(arguments))
            rows: Sequence[StoredTuple] = self.cursor.fetchall()
        except UnicodeDecodeError:
            # The driver gives up the whole answer at one text that is no UTF-8; the slow way gives up that row only.
            self.connection.converter = self.as_bytes
            return super().run_fetch(sql, arguments, deadline)
        finally:
            self.connection.converter = self.as_bytes
        return rows


def encoded(arguments: Sequence[Any]) -> list[Any]:
    return [value.encode() if isinstance(value, str) else value for value in arguments]


def decoded(row: Sequence[Any]) -> StoredTuple | None:
    """The row with text for bytes, or `None` where some bytes are no UTF-8."""
    try:
        return tuple([value.decode() if isinstance(value, bytes) else value for value in row])
    except UnicodeDecodeError:
        return None
