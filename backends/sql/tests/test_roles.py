"""A connection serves a call only while its server is known to be the primary.

The tests of each database's own check are elsewhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
from module_sdk_sql.dialects.base import Connection, Dialect
from module_sdk_sql.dialects.sqlite.dialect import SQLiteDialect
from module_sdk_sql.manager import SQLTaskManager
from module_sdk_sql.pool import ROLE_SECONDS

LONG_AGO = -math.inf


class Roles:
    """A fake check of a server's role that records for which connections the pool asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Connection] = []
        self.answer: Callable[[], bool] = lambda: True
        monkeypatch.setattr(SQLiteDialect, "check_role", self.check)

    def check(self, connection: Connection, deadline: float) -> bool:
        self.asked.append(connection)
        return self.answer()


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Roles:
    return Roles(monkeypatch)


def idle_connection(manager: SQLTaskManager) -> Connection:
    assert manager.get_tasks_by_key("job") == []
    (connection,) = manager.pool.members
    return connection


def test_a_role_is_checked_again_only_after_role_seconds(manager: SQLTaskManager, roles: Roles) -> None:
    connection = idle_connection(manager)
    connection.checked_at = time.monotonic() - 2 * ROLE_SECONDS
    for _ in range(3):
        assert idle_connection(manager) is connection
    assert roles.asked == [connection]
    assert connection.checked_at > time.monotonic() - 2 * ROLE_SECONDS


@pytest.mark.parametrize("failure", [False, OSError("the connection is lost")])
def test_a_server_that_is_no_longer_the_primary_serves_no_call(
    manager: SQLTaskManager, roles: Roles, failure: bool | OSError
) -> None:
    connection = idle_connection(manager)
    connection.checked_at = LONG_AGO

    def demoted() -> bool:
        if isinstance(failure, OSError):
            raise failure
        return failure

    roles.answer = demoted
    assert idle_connection(manager) is not connection
    assert connection not in manager.pool.members


def test_an_interrupt_during_a_role_check_loses_no_slot(manager: SQLTaskManager, roles: Roles) -> None:
    connection = idle_connection(manager)
    connection.checked_at = LONG_AGO

    def interrupted() -> bool:
        raise KeyboardInterrupt

    roles.answer = interrupted
    free = manager.pool.slots.free
    with pytest.raises(KeyboardInterrupt):
        manager.get_tasks_by_key("job")
    assert manager.pool.slots.free == free
    assert connection not in manager.pool.members


def test_a_refused_write_closes_all_connections_to_a_lost_primary(
    manager: SQLTaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = idle_connection(manager)
    monkeypatch.setattr(Dialect, "lost_role", lambda self, error: True)
    with pytest.raises(ValueError, match="read-only"), manager.pool.connection(time.monotonic() + 5):
        raise ValueError("the server is read-only")
    assert connection not in manager.pool.members
    assert not manager.pool.members
