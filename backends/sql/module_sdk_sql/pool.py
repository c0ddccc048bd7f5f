"""The pool of connections to one database: single statements, transactions, and fork handlers.

SQLAlchemy's pool waits for one fixed timeout and connects without a deadline. The pool of `module_sdk` keeps to the
deadline of each call, at a fifth of the cost per lookup.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from module_sdk.backends import ConfigurationError, ConnectionPool, Slot, TaskBackendUnavailableError
from module_sdk_sql.dialects.base import Connection, Dialect, StoredTuple
from module_sdk_sql.group_commit import GroupCommit, Work, check_file_identity

Result = TypeVar("Result")

FORK_WAIT_SECONDS: Final = 5.0
# A server's role is checked again before a call if its last check is older than this. Together with the duration of the
# call this means that no row comes from a server that was demoted more than a second ago.
ROLE_SECONDS: Final = 0.5

# The schema is checked again if its last check is older than this: an empty table may mean that the store was emptied.
SCHEMA_CHECK_SECONDS: Final = 0.5

pools: weakref.WeakSet[Pool] = weakref.WeakSet()
# Connections that a forked child inherited. It must neither use nor close them: closing would end the parent's session.
inherited: list[Connection] = []


class Pool(ConnectionPool[Connection]):
    """A pool of at most `dialect.connections` connections, which reuses the most recently used one first."""

    def __init__(
        self, dialect: Dialect, check_schema: Callable[[Connection, float], None] = lambda connection, deadline: None
    ) -> None:
        """`check_schema(connection, deadline)` must raise if the store has lost its schema.

        It is first called when the clock of `time.monotonic()` has reached `schema_check_due_at`.
        """
        super().__init__(dialect.connections, dialect.connect)
        self.dialect = dialect
        self.check_schema = check_schema
        self.schema_check_due_at = math.inf
        self.writers = self.new_writers()
        self.paused: list[Slot[Connection]] = []
        pools.add(self)

    def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float, *, is_planned: bool = False
    ) -> Sequence[StoredTuple | None]:
        """Return the rows of one SELECT, in autocommit; retry it if the connection was lost while it was idle."""
        slot = self.take(deadline)
        # This is `run` written out, which saves two calls per lookup.
        try:
            connection: Connection = slot.item  # type: ignore[assignment]  # `take` has connected it
            rows = (connection.fetch_with_custom_plan if is_planned else connection.fetch)(sql, arguments, deadline)
            connection.was_used = slot.is_settled = True
            return rows
        except BaseException as error:
            is_usable = self.failed(slot, error)
            if is_usable or not connection.was_used or not self.dialect.is_unavailable(error):
                raise
        finally:
            slot.back(slot)
            self.announce_return()
            del slot
        # The server was restarted after the connection was last used, so the other connections are lost as well.
        self.close_idle()
        with self.connection(deadline) as connection:
            return (connection.fetch_with_custom_plan if is_planned else connection.fetch)(sql, arguments, deadline)

    def fetch_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """Run a statement that changes at most one row, at most once, and return the row as it is now."""
        return self.write(lambda connection, deadline: connection.fetch_changed(sql, arguments, deadline), deadline)

    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """Run one statement in autocommit and return the number of rows that it changed."""
        return self.write(lambda connection, deadline: connection.execute(sql, arguments, deadline), deadline)

    def write(self, work: Work[Result], deadline: float) -> Result:
        """Run `work`, a single statement, in autocommit and return its result."""
        if self.writers is not None:
            return self.writers.run(work, deadline, is_single=True)
        return self.run(lambda connection: work(connection, deadline), deadline)

    def transact(self, work: Work[Result], deadline: float) -> Result:
        """Run `work`, a few short statements, in a transaction and return its result."""
        if self.writers is not None:
            return self.writers.run(work, deadline, is_single=False)
        with self.transaction(deadline) as connection:
            return work(connection, deadline)

    @contextlib.contextmanager
    def transaction(self, deadline: float) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed at the end or rolled back by an error."""
        exclusive = contextlib.nullcontext() if self.writers is None else self.writers.exclusive(deadline)
        with exclusive, self.connection(deadline) as connection:
            connection.begin(self.dialect.begin, deadline)
            yield connection
            connection.execute("COMMIT", (), deadline)
            if self.writers is not None:
                check_file_identity(connection)

    def new_writers(self) -> GroupCommit | None:
        return GroupCommit(self.run, self.dialect.begin) if self.dialect.groups_writes else None

    # --- Checks before a call ---------------------------------------------------------------------------------------

    def take(self, deadline: float) -> Slot[Connection]:
        """Return a slot with a connection to the primary. Raises the errors of connecting and of `check_schema` too."""
        slot = super().take(deadline)
        try:
            if not self.passes_checks(slot, deadline):
                self.prepare(slot, deadline)
                if not self.passes_checks(slot, deadline):
                    raise TaskBackendUnavailableError("the connection was lost at once")
            return slot
        except BaseException:
            slot.back(slot)
            self.announce_return()
            del slot
            raise

    def passes_checks(self, slot: Slot[Connection], deadline: float) -> bool:
        """Return whether the connection works and its server was the primary at most `ROLE_SECONDS` ago.

        If not, the slot has no connection any more. Every `SCHEMA_CHECK_SECONDS` this calls `check_schema` as well, and
        raises its errors about the schema.
        """
        connection: Connection = slot.item  # type: ignore[assignment]  # `take` has connected it
        now = time.monotonic()
        schema_check_is_due = now >= self.schema_check_due_at
        role_check_is_due = now - connection.checked_at > ROLE_SECONDS
        if not (schema_check_is_due or role_check_is_due):
            return True
        try:
            is_primary = not role_check_is_due or self.dialect.check_role(connection, deadline)
            if is_primary and schema_check_is_due:
                self.check_schema(connection, deadline)
                self.schema_check_due_at = now + SCHEMA_CHECK_SECONDS
        except Exception as error:
            is_schema_error = isinstance(error, ConfigurationError) or self.dialect.is_missing_schema(error)
            # The connection was probably lost while it was idle, so another is tried. After a silent server no time is
            # left for that.
            if is_schema_error or time.monotonic() >= deadline:
                self.failed(slot, error)
                raise
            self.drop(slot)
            return False
        except BaseException as error:
            self.failed(slot, error)
            raise
        if role_check_is_due:
            # The time before the check, not after it: the answer may have taken a while to arrive.
            connection.checked_at = now
        if not is_primary:
            # The other connections are to the same server.
            self.drop(slot)
            self.close_idle()
        return is_primary

    def failed(self, slot: Slot[Connection], error: BaseException) -> bool:
        if self.dialect.lost_role(error):
            # The other connections are to the same server.
            self.drop(slot)
            self.close_idle()
            return False
        return super().failed(slot, error)

    # --- Fork -------------------------------------------------------------------------------------------------------

    def pause_for_fork(self) -> None:
        """Wait, in the parent, until running calls have ended, so that a child inherits no connection in mid-call."""
        if self.dialect.at_fork == "abandon":
            return
        deadline = time.monotonic() + FORK_WAIT_SECONDS
        while len(self.paused) < self.number and (slot := self.slots.take(deadline)) is not None:
            self.paused.append(slot)
        if self.dialect.at_fork == "close":
            for slot in self.paused:
                self.drop(slot)

    def resume_after_fork(self) -> None:
        while self.paused:
            self.slots.put_back(self.paused.pop())

    def reset_after_fork(self) -> None:
        """Start over in the child: with the parent's connections if they can be kept, else with none."""
        connections = self.members
        self.paused.clear()
        self.renew_slots()
        self.writers = self.new_writers()
        self.dialect.reset_after_fork()
        if self.dialect.at_fork == "keep":
            for connection in connections:
                slot = self.slots.take_free()
                if slot is not None:
                    slot.keep(connection)
                    self.slots.put_back(slot)
            return
        for connection in connections:
            connection.abandon()
        inherited.extend(connections)


def pause_pools() -> None:
    for pool in list(pools):
        pool.pause_for_fork()


def resume_pools() -> None:
    for pool in list(pools):
        pool.resume_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=pause_pools, after_in_parent=resume_pools)
