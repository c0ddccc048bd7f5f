"""A bounded pool of connections that waits by the deadline of each call.

SQLAlchemy's pool waits by one fixed timeout and connects without a deadline, so a counter of free places stands in
front of any pool; a list of idle connections is what remains to be done, at a fifth of the cost for each lookup.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from module_sdk.backends import ConfigurationError, Places, TaskBackendError, TaskBackendUnavailableError
from module_sdk_sql.dialects.base import Dialect, Link, StoredTuple
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
inherited: list[Link] = []


class Pool:
    """At most `dialect.connections` open connections; the one used last is handed out first."""

    def __init__(self, dialect: Dialect, look: Callable[[Link, float], None] = lambda link, deadline: None) -> None:
        """`look(link, deadline)` raises where the store has lost its schema; the pool calls it from `look_at` on."""
        self.dialect = dialect
        self.look = look
        self.look_at = math.inf
        self.places = Places(dialect.connections)
        self.writers = self.new_writers()
        self.idle: collections.deque[Link] = collections.deque()
        self.members: set[Link] = set()
        self.paused = 0
        self.is_closed = False
        pools.add(self)

    def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float, *, is_planned: bool = False
    ) -> Sequence[StoredTuple | None]:
        """The rows of one SELECT, in autocommit; a connection that was lost while it was idle costs no failure."""
        link = self.take(deadline)
        try:
            rows = (link.fetch_planned if is_planned else link.fetch)(sql, arguments, deadline)
        except BaseException as error:
            is_usable = self.give_failed(link, error)
            if is_usable or not link.was_used or not self.dialect.is_unavailable(error):
                raise
        else:
            self.give(link)
            return rows
        # The server has been restarted since the connection was last used, so the others are lost as well.
        self.close_idle()
        with self.link(deadline) as link:
            return (link.fetch_planned if is_planned else link.fetch)(sql, arguments, deadline)

    def fetch_changed(self, sql: str, arguments: Sequence[Any], deadline: float) -> Sequence[StoredTuple | None]:
        """What a changed row is now, if one was; run at most once."""
        return self.write(lambda link, deadline: link.fetch_changed(sql, arguments, deadline), deadline)

    def execute(self, sql: str, arguments: Sequence[Any], deadline: float) -> int:
        """One statement in autocommit; how many rows it changed."""
        return self.write(lambda link, deadline: link.execute(sql, arguments, deadline), deadline)

    def link(self, deadline: float) -> Loan:
        """A connection in autocommit, for the body of a `with`."""
        return Loan(self, deadline)

    def write(self, work: Work[Result], deadline: float) -> Result:
        """What `work`, a single statement, gives, in autocommit."""
        if self.writers is not None:
            return self.writers.run(work, deadline, is_single=True)
        with self.link(deadline) as link:
            return work(link, deadline)

    def transact(self, work: Work[Result], deadline: float) -> Result:
        """What `work`, a few short statements, gives, in a transaction."""
        if self.writers is not None:
            return self.writers.run(work, deadline, is_single=False)
        with self.transaction(deadline) as link:
            return work(link, deadline)

    @contextlib.contextmanager
    def transaction(self, deadline: float) -> Iterator[Link]:
        """A connection in a transaction that is committed at the end, or rolled back by an error."""
        alone = contextlib.nullcontext() if self.writers is None else self.writers.alone(deadline)
        with alone, self.link(deadline) as link:
            link.begin(self.dialect.begin, deadline)
            yield link
            link.execute("COMMIT", (), deadline)
            if self.writers is not None:
                check_place(link)

    def new_writers(self) -> GroupCommit | None:
        return GroupCommit(self.link, self.dialect.begin) if self.dialect.groups_writes else None

    def take(self, deadline: float) -> Link:
        if not self.places.take(deadline):
            raise TaskBackendUnavailableError(
                f"all {self.dialect.connections} connections were busy until the deadline"
            )
        try:
            while True:
                # No context manager here: it would be the dearest part of taking a connection.
                try:
                    link = self.idle.pop()
                except IndexError:
                    break
                if link.is_current() and self.is_fit(link, deadline):
                    return link
                self.drop(link)
            if self.is_closed:
                raise TaskBackendError("the task manager is closed")
            link = self.dialect.connect(deadline)
            self.members.add(link)
            if not self.is_fit(link, deadline):
                self.drop(link)
                raise TaskBackendUnavailableError("the connection was lost at once")
        except BaseException:
            self.places.give()
            raise
        return link

    def is_fit(self, link: Link, deadline: float) -> bool:
        """Whether the server is the primary, as of `ROLE_SECONDS` ago or later, and the connection there works.

        Raises what `look` raises about the schema, once in `LOOK_SECONDS`.
        """
        now = time.monotonic()
        look_is_due, role_is_due = now >= self.look_at, now - link.checked_at > ROLE_SECONDS
        if not (look_is_due or role_is_due):
            return True
        try:
            is_primary = not role_is_due or self.dialect.check_role(link, deadline)
            if is_primary and look_is_due:
                self.look(link, deadline)
                self.look_at = now + LOOK_SECONDS
        except Exception as error:
            is_schemas = isinstance(error, ConfigurationError) or self.dialect.is_missing_schema(error)
            # The connection was lost while it was idle, unless the server is silent: then no time is left for another.
            if is_schemas or time.monotonic() >= deadline:
                self.drop(link)
                raise
            return False
        except BaseException:
            self.drop(link)
            raise
        if role_is_due:
            # The moment before the question: the answer may have been under way for a while.
            link.checked_at = now
        if not is_primary:
            # The other connections lead to the same server.
            self.close_idle()
        return is_primary

    def give(self, link: Link) -> None:
        link.was_used = True
        if link.reusable and not self.is_closed:
            self.idle.append(link)
            # A close in between has missed this one.
            if self.is_closed:
                self.close_idle()
        else:
            self.drop(link)
        self.places.give()

    def give_failed(self, link: Link, error: BaseException) -> bool:
        """Take back a connection whose call failed; whether it stays."""
        if self.dialect.lost_role(error):
            # The other connections lead to the same server.
            self.close_idle()
        elif link.recover(error):
            self.give(link)
            return True
        self.drop(link)
        self.places.give()
        return False

    def drop(self, link: Link) -> None:
        self.members.discard(link)
        link.close()

    def close(self) -> None:
        """Close what is idle now; what is in use is closed when it comes back."""
        self.is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        while self.idle:
            with contextlib.suppress(IndexError):
                self.drop(self.idle.pop())

    # --- Fork -------------------------------------------------------------------------------------------------------

    def pause_for_fork(self) -> None:
        """In the parent: let the calls under way end, so that no connection is inherited in the middle of one."""
        if self.dialect.at_fork == "abandon":
            return
        deadline = time.monotonic() + FORK_WAIT_SECONDS
        while self.paused < self.dialect.connections:
            if not self.places.take(deadline):
                break
            self.paused += 1
        if self.dialect.at_fork == "close":
            self.close_idle()

    def resume_after_fork(self) -> None:
        while self.paused:
            self.places.give()
            self.paused -= 1

    def start_anew(self) -> None:
        """In the child."""
        self.places = Places(self.dialect.connections)
        self.writers = self.new_writers()
        self.paused = 0
        self.dialect.start_anew()
        if self.dialect.at_fork != "keep":
            for link in self.members:
                link.disown()
            inherited.extend(self.members)
            self.members.clear()
            self.idle.clear()


class Loan:
    """A connection, from the beginning of a `with` to its end."""

    __slots__ = ("deadline", "link", "pool")

    def __init__(self, pool: Pool, deadline: float) -> None:
        self.pool = pool
        self.deadline = deadline

    def __enter__(self) -> Link:
        self.link = self.pool.take(self.deadline)
        return self.link

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.pool.give(self.link)
        else:
            self.pool.give_failed(self.link, error)


def pause_pools() -> None:
    for pool in list(pools):
        pool.pause_for_fork()


def resume_pools() -> None:
    for pool in list(pools):
        pool.resume_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=pause_pools, after_in_parent=resume_pools)
