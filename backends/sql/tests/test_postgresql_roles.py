"""One second after a demotion of PostgreSQL no lookup shows an old row: it fails, or the new primary answers."""

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

# After this time no lookup may show an old row.
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
    """Return the labels of a lookup; `None` if it failed."""
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
    """Assert for some seconds that lookups which begin more than one second from now do not show the old labels."""
    begun = time.monotonic()
    while (asked := time.monotonic()) < begun + seconds:
        found = labels(manager)
        assert asked < begun + PROMISED_SECONDS or found != old
        time.sleep(0.01)


def wait_for_replication(standby: Standby, namespace: str) -> None:
    """Wait until the standby has the task of the primary."""
    end = time.monotonic() + PATIENCE_SECONDS
    found: list[tuple[str]] = []
    while found != [("old",)]:
        assert time.monotonic() < end
        # The tables may not be replicated yet.
        with contextlib.suppress(psycopg.errors.UndefinedTable), psycopg.connect(standby.url) as connection:
            found = connection.execute(f"SELECT label FROM {namespace}__tasks").fetchall()
        time.sleep(0.02)


def relabel(url: str, namespace: str) -> None:
    execute(url, f"UPDATE {namespace}__tasks SET label = 'new'")


def test_a_primary_that_becomes_read_only_serves_no_lookup(
    primary: PostgreSQL, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    """This happens in a planned switch of primaries: the old one refuses writes, and its connections stay open."""
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
    """Connections to the old primary stay open; new connections reach the new primary."""
    proxy, url = FaultProxy.in_front_of(primary.url)
    with proxy:
        manager = opener(url, namespace=namespace)
        manager.create(new_task(task_key="job", label="old"))
        wait_for_replication(standby, namespace)
        assert labels(manager) == ["old"]

        execute(primary.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        standby.promote()
        relabel(standby.url, namespace)
        proxy.target = ("127.0.0.1", standby.port)
        then_no_old_row(manager, ["old"])
        wait_for(manager, ["new"])
        manager.create(new_task(task_key="other"))


def test_a_pooler_in_front_of_a_standby_serves_no_lookup(
    primary: PostgreSQL, standby: Standby, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    """Connections to the pooler stay open when its server changes."""
    with running(PgBouncer, primary.url) as pooler:
        # The same database as in `standby.url`.
        url = urlsplit(pooler.url)._replace(path=urlsplit(primary.url).path).geturl()
        manager = opener(url, namespace=namespace)
        manager.create(new_task(task_key="job", label="old"))
        wait_for_replication(standby, namespace)
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
    # Reads go to the primary even if the URL allows any server.
    manager = opener(f"postgresql://{login}@{parts.path}?{hosts}&target_session_attrs=any", namespace=namespace)
    manager.create(new_task(task_key="job", label="old"))
    wait_for_replication(standby, namespace)

    execute(primary.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    standby.promote()
    relabel(standby.url, namespace)
    then_no_old_row(manager, ["old"])
    wait_for(manager, ["new"])
