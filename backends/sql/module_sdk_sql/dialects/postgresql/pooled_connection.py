"""One connection to PostgreSQL through a pooler, where each transaction may run in another session of the server.

A session is shared with other programs. So nothing here outlives its transaction: no setting, no prepared statement,
no advisory lock; and nothing here depends on what other programs left behind in the session.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql as composing
from psycopg.pq import TransactionStatus

from module_sdk_sql.dialects.base import StoredTuple
from module_sdk_sql.dialects.postgresql.connection import MAXIMUM_KEPT_ROWS, PostgreSQLConnection, sum_of_examined

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
ROLE: Final = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
PINNED: Final = ("search_path", "role", "lock_timeout")
"""What another program may have left in a session and would change our answers; each is what a new session has."""


class PooledConnection(PostgreSQLConnection):
    """Sends a statement as a transaction of its own, which begins with its settings and the check of the role.

    No pipeline: PgBouncer 1.18 now and then keeps the session of one for ever, and the next client waits for it.
    """

    def __init__(
        self, connection: psycopg.Connection[StoredTuple], timeout_seconds: float, defaults: Mapping[str, str]
    ) -> None:
        super().__init__(connection, timeout_seconds)
        # The role is checked in each transaction, so the pool need not ask.
        self.checked_at = math.inf
        # As text, since only a text without parameters may have two statements, which take one trip.
        self.control_cursor = connection.cursor()
        pinned = {"plan_cache_mode": "force_custom_plan", **defaults}
        local = (composing.SQL(", set_config({}, {}, true)").format(name, value) for name, value in pinned.items())
        self.settings = composing.SQL("").join(local).as_string(connection)

    @property
    def is_in_transaction(self) -> bool:
        return self.connection.pgconn.transaction_status != TransactionStatus.IDLE

    def begin(self, sql: str, deadline: float) -> None:
        self.bounded(deadline, self.run_begin, deadline)

    def run_begin(self, deadline: float) -> None:
        """Raise `ReadOnlySqlTransaction` unless the transaction runs on the primary."""
        milliseconds = max(1, math.ceil((deadline - time.monotonic()) * 1000))
        self.control_cursor.execute(
            f"{BEGIN}; {ROLE}, set_config('statement_timeout', '{milliseconds}', true){self.settings}".encode()
        )
        self.control_cursor.nextset()
        (row,) = self.control_cursor.fetchall()
        if row[0]:
            raise psycopg.errors.ReadOnlySqlTransaction("the pooler led to a server that takes no writes")

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.run_statement(sql, arguments, deadline)
        rows = self.cursor.fetchall()
        if len(rows) > MAXIMUM_KEPT_ROWS:
            self.release_answer()
        return rows

    def run_planned(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        # Every statement is planned for its arguments here.
        return self.run_fetch(sql, arguments, deadline)

    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        self.run_statement(sql, arguments, deadline)
        return self.cursor.rowcount

    def run_statement(self, sql: str, arguments: Sequence[Any], deadline: float) -> None:
        """Leave the answer in the cursor."""
        if self.is_in_transaction:
            self.cursor.execute(sql, arguments)
            return
        self.run_begin(deadline)
        self.cursor.execute(sql, arguments)
        self.control_cursor.execute("COMMIT")

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """The plan for these arguments, as lookups get it here, with rows measured."""
        with psycopg.ClientCursor(self.connection) as cursor:
            literal = cursor.mogrify(sql, arguments)
        text = f"EXPLAIN (ANALYZE, FORMAT JSON) {literal}".replace("%", "%%")
        (row,) = self.fetch(text, (), deadline)
        plan = (row or ([{"Plan": {}}],))[0]
        return json.dumps(plan, indent=1), sum_of_examined(plan)
