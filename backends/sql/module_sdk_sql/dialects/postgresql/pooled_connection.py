"""A connection to PostgreSQL through a pooler, where each transaction may run in another session of the server.

Sessions are shared with other programs. So no setting, prepared statement or advisory lock may outlive its transaction,
and no statement may depend on the state that other programs left in the session.
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
"""The settings that another program may have changed in a session, and that would change our results.

Each transaction sets them to the values of a new session.
"""


class PooledConnection(PostgreSQLConnection):
    """A connection whose statements run in transactions that begin with their settings and the check of the role.

    It must not use pipelines: PgBouncer 1.18 sometimes never releases the session of one, and the next client waits for
    it.
    """

    def __init__(
        self, raw: psycopg.Connection[StoredTuple], timeout_seconds: float, defaults: Mapping[str, str]
    ) -> None:
        super().__init__(raw, timeout_seconds)
        # Each transaction checks the role, so the pool does not have to.
        self.checked_at = math.inf
        # Not binary: that needs the extended protocol, which runs one statement per round trip. The simple protocol
        # runs two in one round trip if they have no parameters.
        self.control_cursor = raw.cursor()
        pinned = {"plan_cache_mode": "force_custom_plan", **defaults}
        local = (composing.SQL(", set_config({}, {}, true)").format(name, value) for name, value in pinned.items())
        self.settings = composing.SQL("").join(local).as_string(raw)

    @property
    def is_in_transaction(self) -> bool:
        return self.raw.pgconn.transaction_status != TransactionStatus.IDLE

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
            raise psycopg.errors.ReadOnlySqlTransaction(
                "the server behind the pooler is not the primary: it takes no writes"
            )

    def run_fetch(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        self.run_statement(sql, arguments, deadline)
        rows = self.cursor.fetchall()
        if len(rows) > MAXIMUM_KEPT_ROWS:
            self.release_result()
        return rows

    def run_planned(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        # Every statement is planned for its arguments, by `plan_cache_mode`.
        return self.run_fetch(sql, arguments, deadline)

    def run_execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        self.run_statement(sql, arguments, deadline)
        return self.cursor.rowcount

    def run_statement(self, sql: str, arguments: Sequence[Any], deadline: float) -> None:
        """Run one statement, in a transaction of its own unless one is open, and leave the result in the cursor."""
        if self.is_in_transaction:
            self.cursor.execute(sql, arguments)
            return
        self.run_begin(deadline)
        self.cursor.execute(sql, arguments)
        self.control_cursor.execute("COMMIT")

    def explain(self, sql: str, arguments: Sequence[Any], deadline: float) -> tuple[str, int]:
        """Return the plan for these arguments, which lookups use here, with the rows that it read."""
        with psycopg.ClientCursor(self.raw) as cursor:
            literal = cursor.mogrify(sql, arguments)
        text = f"EXPLAIN (ANALYZE, FORMAT JSON) {literal}".replace("%", "%%")
        (row,) = self.fetch(text, (), deadline)
        plan = (row or ([{"Plan": {}}],))[0]
        return json.dumps(plan, indent=1), sum_of_examined(plan)
