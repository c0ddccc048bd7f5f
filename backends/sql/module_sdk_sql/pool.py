"""The pool of connections to one database: single statements, transactions, and what a fork needs.

SQLAlchemy's pool waits by one fixed timeout and connects without a deadline, so the pool of `module_sdk` is used, at a
fifth of the cost for each lookup.
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
from module_sdk_sql.group_commit import GroupCommit, Work, check_place

Result = TypeVar("Result")

FORK_WAIT_SECONDS: Final = 5.0
# A connection that was checked longer ago than this is checked again before it serves a call. With the time of the
# call itself, nothing that is read comes from a server that was demoted more than a second ago.
ROLE_SECONDS: Final = 0.5

# A schema that was seen longer ago than this is looked at again: an empty table may be one that somebody has emptied.
LOOK_SECONDS: Final = 0.5

pools: weakref.WeakSet[Pool] = weakref.WeakSet()
# What a child inherited is neither used nor closed by it: closing would end the parent's session.
inherited: list[Connection] = []


class Pool(ConnectionPool[Connection]):
    """At most `dialect.connections` open connections; the one used last is handed out first."""

    def __init__(
        self, dialect: Dialect, look: Callable[[Connection, float], None] = lambda connection, deadline: None
    ) -> None:
        """`look(connection, deadline)` raises where the store has lost its schema; it is called from `look_at` on."""
        super().__init__(dialect.connections, dialect.connect)
        self.dialect = dialect
        self.look = look
        self.look_at = math.inf
        self.writers = self.new_writers()
        self.paused: list[Slot[Connection]] = []
        pools.add(self)

    def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float, *, is_planned: bool = False
    ) -> Sequence[StoredTuple | None]:
        """The rows of one SELECT, in autocommit; a connection that was lost while it was idle costs no failure."""
        slot = self.take(deadline)
        # As `run` does, without two more calls.
        try:
            connection: Connection = slot.item  # type: ignore[assignment]  # `take` has brought one
            rows = (connection.fetch_with_custom_plan if is_planned else connection.fetch)(sql, arguments, deadline)
            connection.was_used = slot.is_settled = True
            return rows
        except BaseException as error:
            is_usable = self.failed(slot, error)
            if is_usable or not connection.was_used or not self.dialect.is_unavailable(error):
                raise
        finally:
            slot.back(slot)
            self.given()
            del slot
        # The server has been restarted since the connection was last used, so the others are lost as well.
        self.close_idle()
        with self.connection(deadline) as connection:
            return (connection.fetch_with_custom_plan if is_planned else connection.fetch)(sql, arguments, deadline)

    def fetch_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """What a changed row is now, if one was; run at most once."""
        return self.write(lambda connection, deadline: connection.fetch_changed(sql, arguments, deadline), deadline)

    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """One statement in autocommit; how many rows it changed."""
        return self.write(lambda connection, deadline: connection.execute(sql, arguments, deadline), deadline)

    def write(self, work: Work[Result], deadline: float) -> Result:
        """What `work`, a single statement, gives, in autocommit."""
        if self.writers is not None:
            return self.writers.run(work, deadline, is_single=True)
        return self.run(lambda connection: work(connection, deadline), deadline)

    def transact(self, work: Work[Result], deadline: float) -> Result:
        """What `work`, a few short statements, gives, in a transaction."""
        if self.writers is not None:
            return self.writers.run(work, deadline, is_single=False)
        with self.transaction(deadline) as connection:
            return work(connection, deadline)

    @contextlib.contextmanager
    def transaction(self, deadline: float) -> Iterator[Connection]:
        """A connection in a transaction that is committed at the end, or rolled back by an error."""
        alone = contextlib.nullcontext() if self.writers is None else self.writers.alone(deadline)
        with alone, self.connection(deadline) as connection:
            connection.begin(self.dialect.begin, deadline)
            yield connection
            connection.execute("COMMIT", (), deadline)
            if self.writers is not None:
                check_place(connection)

    def new_writers(self) -> GroupCommit | None:
        return GroupCommit(self.run, self.dialect.begin) if self.dialect.groups_writes else None

    # --- What a connection must be to serve a call ------------------------------------------------------------------

    def take(self, deadline: float) -> Slot[Connection]:
        """A slot with a connection to the primary. Raises what connecting and `look` raise, too."""
        slot = super().take(deadline)
        try:
            if not self.is_fit(slot, deadline):
                self.prepare(slot, deadline)
                if not self.is_fit(slot, deadline):
                    raise TaskBackendUnavailableError("the connection was lost at once")
            return slot
        except BaseException:
            slot.back(slot)
            self.given()
            del slot
            raise

    def is_fit(self, slot: Slot[Connection], deadline: float) -> bool:
        """Whether the server is the primary, as of `ROLE_SECONDS` ago or later, and the connection there works.

        The slot has no connection any more if not. Raises what `look` raises about the schema, once in `LOOK_SECONDS`.
        """
        connection: Connection = slot.item  # type: ignore[assignment]  # `take` has brought one
        now = time.monotonic()
        look_is_due, role_is_due = now >= self.look_at, now - connection.checked_at > ROLE_SECONDS
        if not (look_is_due or role_is_due):
            return True
        try:
            is_primary = not role_is_due or self.dialect.check_role(connection, deadline)
            if is_primary and look_is_due:
                self.look(connection, deadline)
                self.look_at = now + LOOK_SECONDS
        except Exception as error:
            is_schemas = isinstance(error, ConfigurationError) or self.dialect.is_missing_schema(error)
            # The connection was lost while it was idle, unless the server is silent: then no time is left for another.
            if is_schemas or time.monotonic() >= deadline:
                self.failed(slot, error)
                raise
            self.drop(slot)
            return False
        except BaseException as error:
            self.failed(slot, error)
            raise
        if role_is_due:
            # The moment before the question: the answer may have been under way for a while.
            connection.checked_at = now
        if not is_primary:
            # The other connections lead to the same server.
            self.drop(slot)
            self.close_idle()
        return is_primary

    def failed(self, slot: Slot[Connection], error: BaseException) -> bool:
        if self.dialect.lost_role(error):
            # The other connections lead to the same server.
            self.drop(slot)
            self.close_idle()
            return False
        return super().failed(slot, error)

    # --- Fork -------------------------------------------------------------------------------------------------------

    def pause_for_fork(self) -> None:
        """In the parent: let the calls under way end, so that no connection is inherited in the middle of one."""
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
            self.slots.give(self.paused.pop())

    def reset_after_fork(self) -> None:
        """In the child."""
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
                    self.slots.give(slot)
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
