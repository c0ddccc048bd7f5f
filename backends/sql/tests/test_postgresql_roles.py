"""PostgreSQL: within a second of a demotion a lookup is an error or the new primary's answer, never an old row."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

import psycopg
import pytest
from module_sdk_contract.faults.fault_proxy import FaultProxy
from module_sdk_sql.manager import SQLTaskManager

from devtools.servers.kinds import PostgreSQL
from devtools.servers.pooler import PgBouncer
from devtools.servers.standby import Standby
from module_sdk.backends import Task, TaskBackendUnavailableError
from tests.support.fixtures import running

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

# The promise is a second; a busy machine may not run the test's own clock so exactly.
PROMISED_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 30.0


@pytest.fixture
def primary() -> Iterator[PostgreSQL]:
    with running(PostgreSQL) as server:
        yield server


@pytest.fixture
def standby(primary: PostgreSQL) -> Iterator[Standby]:
    with Standby(primary.url) as server:
        yield server


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def labels(manager: SQLTaskManager) -> list[str] | None:
    """What a lookup shows; `None` for an error."""
    try:
        return [row["label"] for row in manager.get_tasks_by_key("job", 7, timeout_seconds=2)]
    except TaskBackendUnavailableError:
        return None


def wait_for(manager: SQLTaskManager, expected: list[str]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while labels(manager) != expected:
        assert time.monotonic() < end, "lookups did not work again by themselves"
        time.sleep(0.02)


def then_no_old_row(manager: SQLTaskManager, old: list[str], seconds: float = 3.0) -> None:
    """From a second after now on, no lookup shows what was there before."""
    begun = time.monotonic()
    while (asked := time.monotonic()) < begun + seconds:
        found = labels(manager)
        assert asked < begun + PROMISED_SECONDS or found != old
        time.sleep(0.01)


def caught_up(standby: Standby, namespace: str) -> None:
    """Wait until the standby has what was written last."""
    end = time.monotonic() + PATIENCE_SECONDS
    found: list[tuple[str]] = []
    while found != [("old",)]:
        assert time.monotonic() < end
        # The tables come a moment later too.
        with contextlib.suppress(psycopg.errors.UndefinedTable), psycopg.connect(standby.url) as connection:
            found = connection.execute(f"SELECT label FROM {namespace}__tasks").fetchall()
        time.sleep(0.02)


def relabel(url: str, namespace: str) -> None:
    execute(url, f"UPDATE {namespace}__tasks SET label = 'new'")


def test_a_primary_that_was_made_read_only_answers_no_lookup_any_more(
    primary: PostgreSQL, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    """As at a planned change of primaries: the old one is closed to writes, and its connections stay."""
    manager = opener(primary.url, namespace=namespace)
    manager.create(new_task(task_key="job", label="old"))
    assert labels(manager) == ["old"]

    execute(primary.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    then_no_old_row(manager, ["old"])
    assert labels(manager) is None
    with pytest.raises(TaskBackendUnavailableError):
        manager.create(new_task(task_key="other"))

    execute(
        primary.url,
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    )
    wait_for(manager, ["old"])


def test_behind_one_address_the_new_primary_answers(
    primary: PostgreSQL, standby: Standby, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    """The connections of the old primary stay, and new ones lead to the new one."""
    proxy, url = FaultProxy.in_front_of(primary.url)
    with proxy:
        manager = opener(url, namespace=namespace)
        manager.create(new_task(task_key="job", label="old"))
        caught_up(standby, namespace)
        assert labels(manager) == ["old"]

        execute(primary.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        standby.promote()
        relabel(standby.url, namespace)
        proxy.target = ("127.0.0.1", standby.port)
        then_no_old_row(manager, ["old"])
        wait_for(manager, ["new"])
        manager.create(new_task(task_key="other"))


def test_a_pooler_that_leads_to_a_standby_answers_no_lookup(
    primary: PostgreSQL, standby: Standby, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    """The connections to the pooler stay, whatever it leads to."""
    with running(PgBouncer, primary.url) as pooler:
        # Of the same database as `standby.url`.
        url = urlsplit(pooler.url)._replace(path=urlsplit(primary.url).path).geturl()
        manager = opener(url, namespace=namespace)
        manager.create(new_task(task_key="job", label="old"))
        caught_up(standby, namespace)
        assert labels(manager) == ["old"]

        pooler.reload(standby.url)
        then_no_old_row(manager, ["old"])
        assert labels(manager) is None

        standby.promote()
        relabel(standby.url, namespace)
        wait_for(manager, ["new"])
        manager.create(new_task(task_key="other"))


def test_a_url_of_two_hosts_finds_the_new_primary(
    primary: PostgreSQL, standby: Standby, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    parts = urlsplit(primary.url)
    login = parts.netloc.rpartition("@")[0]
    hosts = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    # Whatever the URL says, reads go to the primary.
    manager = opener(f"postgresql://{login}@{parts.path}?{hosts}&target_session_attrs=any", namespace=namespace)
    manager.create(new_task(task_key="job", label="old"))
    caught_up(standby, namespace)

    execute(primary.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    standby.promote()
    relabel(standby.url, namespace)
    then_no_old_row(manager, ["old"])
    wait_for(manager, ["new"])
