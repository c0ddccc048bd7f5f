"""A connection is handed out only while its server is known to be the primary; each database's own way is elsewhere."""

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
    """Stands in for a server's role: it counts how often the pool asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Connection] = []
        self.answer: Callable[[], bool] = lambda: True
        monkeypatch.setattr(SQLiteDialect, "check_role", self.check)

    def check(self, link: Connection, deadline: float) -> bool:
        self.asked.append(link)
        return self.answer()


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Roles:
    return Roles(monkeypatch)


def the_idle_link(manager: SQLTaskManager) -> Connection:
    assert manager.get_tasks_by_key("job") == []
    (link,) = manager.pool.members
    return link


def test_a_connection_is_checked_again_after_a_while_and_not_before(manager: SQLTaskManager, roles: Roles) -> None:
    link = the_idle_link(manager)
    link.checked_at = time.monotonic() - 2 * ROLE_SECONDS
    for _ in range(3):
        assert the_idle_link(manager) is link
    assert roles.asked == [link]
    assert link.checked_at > time.monotonic() - 2 * ROLE_SECONDS


@pytest.mark.parametrize("failure", [False, OSError("the connection is lost")])
def test_a_server_that_is_no_primary_any_more_answers_nothing(
    manager: SQLTaskManager, roles: Roles, failure: bool | OSError
) -> None:
    link = the_idle_link(manager)
    link.checked_at = LONG_AGO

    def demoted() -> bool:
        if isinstance(failure, OSError):
            raise failure
        return failure

    roles.answer = demoted
    assert the_idle_link(manager) is not link
    assert link not in manager.pool.members


def test_an_interrupt_while_a_role_is_asked_for_loses_no_place(manager: SQLTaskManager, roles: Roles) -> None:
    link = the_idle_link(manager)
    link.checked_at = LONG_AGO

    def interrupted() -> bool:
        raise KeyboardInterrupt

    roles.answer = interrupted
    free = manager.pool.slots.free
    with pytest.raises(KeyboardInterrupt):
        manager.get_tasks_by_key("job")
    assert manager.pool.slots.free == free
    assert link not in manager.pool.members


def test_a_refused_write_shows_that_the_role_is_lost(manager: SQLTaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    link = the_idle_link(manager)
    monkeypatch.setattr(Dialect, "lost_role", lambda self, error: True)
    with pytest.raises(ValueError, match="read-only"), manager.pool.connection(time.monotonic() + 5):
        raise ValueError("the server is read-only")
    assert link not in manager.pool.members
    assert not manager.pool.members
