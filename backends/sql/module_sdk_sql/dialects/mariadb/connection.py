"""Connections to MariaDB or MySQL through either driver, which send and receive text as bytes."""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from module_sdk_sql.dialects.base import StoredTuple
from module_sdk_sql.dialects.network import NetworkConnection

# Some servers prefix their version with that of a protocol.
VERSION: Final = re.compile(r"(?:5\.5\.5-)?(\d+)\.(\d+)")
# VAR_STRING, STRING and BLOB, as the protocol numbers types: https://mariadb.com/kb/en/result-set-packets/
TEXT_TYPES: Final = (253, 254, 252)


class MariaDBConnection(NetworkConnection):
    """A connection that sends text as bytes and decodes the text of results."""

    def __init__(self, raw: Any, descriptor: int, timeout_seconds: float) -> None:
        super().__init__(raw, descriptor)
        self.errors = (raw.Error,)
        self.cursor = raw.cursor()
        self.is_mariadb = "mariadb" in str(raw.get_server_info()).lower()
        self.statement_seconds = math.ceil(timeout_seconds)

    def version(self) -> tuple[int, ...]:
        found = VERSION.search(str(self.raw.get_server_info()))
        return tuple(map(int, found.groups())) if found else (0, 0)

    def statement_timeout(self) -> str:
        """Return the assignment that limits a statement on the server to the time that a call may take."""
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
            # This raises the error of any of the statements, COMMIT included.
            if not self.cursor.nextset():
                break
        _, (changed, _), (_, rows), _ = answers
        return rows if changed else []

    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        self.allow(deadline)
        self.cursor.execute(sql, encoded(arguments))
        return int(self.cursor.rowcount)

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        # Without encoding: an insert compares nothing, and a binary column stores the bytes of the text.
        self.cursor.executemany(sql, list(rows))

    def allow(self, deadline: float) -> None:
        seconds = math.ceil(deadline - time.monotonic())
        if seconds > self.statement_seconds:
            self.statement_seconds = seconds
            self.cursor.execute(f"SET SESSION {self.statement_timeout()}")

    def is_broken(self) -> bool:
        return not getattr(self.raw, "open", True)

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """Return the plan and the increase of the session's Handler_read counters (indexes, tables and sorts)."""
        (row,) = self.fetch(f"EXPLAIN FORMAT=JSON {sql}", arguments, deadline)
        # Reading the counters increases them too.
        first, second = self.reads(deadline), self.reads(deadline)
        self.fetch(sql, arguments, deadline)
        return str((row or ("",))[0]), self.reads(deadline) - second - (second - first)

    def reads(self, deadline: float) -> int:
        rows = self.fetch("SHOW SESSION STATUS LIKE 'Handler_read%%'", (), deadline)
        return sum(int(row[1]) for row in rows if row)


class PyMySQLConnection(MariaDBConnection):
    """A connection with its own descriptor of the socket: PyMySQL closes the driver's if a call is interrupted."""

    def __init__(self, raw: Any, stream: socket.socket, driver_descriptor: int, timeout_seconds: float) -> None:
        self.stream = stream
        self.driver_descriptor = driver_descriptor
        super().__init__(raw, stream.fileno(), timeout_seconds)

    def descriptors(self) -> list[int]:
        # After the driver has closed its descriptor, the number may belong to another file.
        return super().descriptors() if self.is_broken() else [*super().descriptors(), self.driver_descriptor]

    def close(self) -> None:
        super().close()
        self.stream.close()


class MySQLdbConnection(MariaDBConnection):
    """A connection that lets mysqlclient decode in C, which halves the work of Python per row."""

    def __init__(self, raw: Any, descriptor: int, timeout_seconds: float) -> None:
        super().__init__(raw, descriptor, timeout_seconds)
        self.as_bytes = raw.converter
        self.as_text = {**self.as_bytes, **dict.fromkeys(TEXT_TYPES, str)}

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.allow(deadline)
        self.raw.converter = self.as_text
        try:
            self.cursor.execute(sql, encoded(arguments))
            rows: Sequence[StoredTuple] = self.cursor.fetchall()
        except UnicodeDecodeError:
            # One text that is not UTF-8 makes the driver fail for the whole result. The slow way skips that row only.
            self.raw.converter = self.as_bytes
            return super().run_fetch(sql, arguments, deadline)
        finally:
            self.raw.converter = self.as_bytes
        return rows


def encoded(arguments: Sequence[Any]) -> list[Any]:
    return [value.encode() if isinstance(value, str) else value for value in arguments]


def decoded(row: Sequence[Any]) -> StoredTuple | None:
    """Return the row with its bytes decoded, or `None` if some of them are not UTF-8."""
    try:
        return tuple([value.decode() if isinstance(value, bytes) else value for value in row])
    except UnicodeDecodeError:
        return None
