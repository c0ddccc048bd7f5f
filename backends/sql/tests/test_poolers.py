"""PostgreSQL through a pooler: rows and writes are correct, and other programs see no setting of ours."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

import psycopg
import pytest
from module_sdk_sql.dialects.postgresql.connection import PostgreSQLConnection
from module_sdk_sql.dialects.postgresql.dialect import PostgreSQLDialect
from module_sdk_sql.dialects.postgresql.pooled_connection import PooledConnection
from module_sdk_sql.manager import SQLTaskManager

from devtools.servers.pooler import PgBouncer
from module_sdk.backends import Task
from module_sdk.domain.rows import LookupResult
from tests.support.fixtures import running

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

SETTINGS: Final = (
    "statement_timeout",
    "lock_timeout",
    "plan_cache_mode",
    "search_path",
    "application_name",
    "default_transaction_isolation",
    "role",
    "extra_float_digits",
)
CLIENTS: Final = 4
THREADS: Final = 12
CALLS: Final = 240
"""Calls per thread."""
SERVER_SESSIONS: Final = 2


@pytest.fixture
def narrow(postgresql_url: str) -> Iterator[PgBouncer]:
    """A pooler with two sessions for all its clients."""
    with running(PgBouncer, postgresql_url, f"default_pool_size={SERVER_SESSIONS}") as pooler:
        yield pooler


def dialect_of(manager: SQLTaskManager) -> PostgreSQLDialect:
    return cast("PostgreSQLDialect", manager.dialect)


def connection_of(manager: SQLTaskManager) -> Any:
    manager.ping()
    return manager.pool.slots.stock[-1].item


def other_program(url: str) -> psycopg.Connection[Any]:
    """Return a connection of another program, which prepares nothing."""
    return psycopg.connect(url, autocommit=True, prepare_threshold=None)


def settings_of(url: str) -> set[tuple[str, ...]]:
    """Return the settings that other programs see in the sessions of the pooler."""
    query = f"SELECT {', '.join(f'current_setting({name!r})' for name in SETTINGS)}"
    found = set()
    others = [other_program(url) for _ in range(SERVER_SESSIONS)]
    try:
        # Each connection keeps its session until its transaction ends, so together they see all sessions.
        for connection in others:
            connection.execute("BEGIN")
            found |= set(connection.execute(query).fetchall())
            assert not connection.execute("SELECT name FROM pg_prepared_statements").fetchall()
            assert not connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchall()
    finally:
        for connection in others:
            connection.close()
    return found


class Client:
    """One program: a manager with its own namespace, whose rows no other program may see."""

    def __init__(self, manager: SQLTaskManager, new_task: TaskMaker) -> None:
        self.manager = manager
        self.new_task = new_task
        self.written: list[str] = []
        self.wrong: list[str] = []

    def work(self, thread: int) -> None:
        user = f"{self.manager.options.namespace}-{thread}"
        mine: list[Task] = []
        for call in range(CALLS):
            if call % 20 == 0:
                task = self.new_task(user_id=user, task_key=f"{user}.{call}", label=user)
                self.manager.create(task)
                mine.append(task)
            elif call % 20 == 10:
                assert self.manager.update(mine[-1].id, progress=0.5) is not None
            self.check("list_user_tasks", self.manager.list_user_tasks(user, 7), len(mine))
            self.check("get_tasks_by_key", self.manager.get_tasks_by_key(mine[-1].task_key or "", 7), 1)
            self.check("get_tasks_by_key_prefix", self.manager.get_tasks_by_key_prefix(f"{user}.", 7), len(mine))
        self.written += [task.id for task in mine]

    def check(self, operation: str, rows: LookupResult, count: int) -> None:
        labels = {row["label"].partition("-")[0] for row in rows}
        if len(rows) != count or labels - {self.manager.options.namespace}:
            self.wrong.append(f"{operation}: {len(rows)} rows of {labels}, not {count}")


def run_together(clients: list[Client]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        runs = [threads.submit(clients[number % len(clients)].work, number) for number in range(THREADS)]
        for run in runs:
            run.result()


@pytest.mark.parametrize("mode", ["pooler=auto", "pooler=true"])
def test_many_clients_of_one_pooler_get_their_own_rows_and_change_no_session(
    narrow: PgBouncer, opener: Opener, new_task: TaskMaker, namespace: str, mode: str
) -> None:
    # given clients with different settings, and the settings that another program sees
    before = settings_of(narrow.url)
    clients = [
        Client(opener(f"{narrow.url}?{mode}", namespace=f"{namespace}c{number}", timeout_seconds=30 + number), new_task)
        for number in range(CLIENTS)
    ]

    # when they look up and write at the same time
    run_together(clients)

    assert [client.wrong for client in clients] == [[]] * CLIENTS
    for client in clients:
        page = client.manager.page(limit=1_000)
        assert {row["id"] for row in page} == set(client.written)
    assert sum(len(client.written) for client in clients) == THREADS * CALLS // 20
    assert settings_of(narrow.url) == before


def test_an_unnoticed_pooler_is_detected_and_causes_no_wrong_row(
    narrow: PgBouncer, opener: Opener, new_task: TaskMaker, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given clients that take the pooler for a server, as if it had passed on the pid of the session
    clients = [
        Client(opener(f"{narrow.url}?pooler=false", namespace=f"{namespace}c{number}", timeout_seconds=30), new_task)
        for number in range(CLIENTS)
    ]

    run_together(clients)

    # then they have detected it
    assert [client.wrong for client in clients] == [[]] * CLIENTS
    assert all(dialect_of(client.manager).found_pooler for client in clients)
    assert all(isinstance(connection_of(client.manager), PooledConnection) for client in clients)
    assert len([record for record in caplog.records if "pooler=true" in record.message]) == CLIENTS


def test_settings_that_another_program_leaves_in_a_session_change_no_result(
    narrow: PgBouncer, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    manager = opener(narrow.url, namespace=namespace)
    task, _ = manager.create(new_task(task_key="job"))
    spoiling = (
        "SET statement_timeout = 1",
        "SET lock_timeout = 1",
        "SET search_path = pg_temp",
        "SET plan_cache_mode = force_generic_plan",
        "SET default_transaction_isolation = serializable",
        "SET extra_float_digits = -15",
    )
    others = [other_program(narrow.url) for _ in range(SERVER_SESSIONS)]
    try:
        for connection in others:
            connection.execute("BEGIN")
        for connection in others:
            for statement in spoiling:
                connection.execute(statement)
            connection.execute("COMMIT")

        changed = manager.update(task.id, progress=0.1 + 0.2)

        assert changed is not None
        assert manager.get_tasks_by_key("job", 7) == [changed]
        assert changed["progress"] == 0.1 + 0.2
    finally:
        for connection in others:
            connection.close()


def test_a_pooler_in_session_mode_is_served_too(
    postgresql_url: str, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    with running(PgBouncer, postgresql_url, "pool_mode=session", "default_pool_size=20") as pooler:
        # Its pid does not match the key data either, so it counts as a pooler in transaction mode …
        detected = opener(pooler.url, namespace=namespace)
        assert isinstance(connection_of(detected), PooledConnection)
        task, _ = detected.create(new_task(task_key="job"))
        # … unless the URL says that each connection has its own session.
        configured = opener(f"{pooler.url}?pooler=false", namespace=namespace)
        connection = connection_of(configured)
        assert type(connection) is PostgreSQLConnection
        connection.checked_at = 0.0
        assert configured.get_tasks_by_key("job", 7) == [task.to_row()]
        assert connection_of(configured) is connection
        assert not dialect_of(configured).found_pooler


def test_a_direct_connection_has_its_own_session(postgresql_url: str, opener: Opener, namespace: str) -> None:
    manager = opener(postgresql_url, namespace=namespace)
    assert type(connection_of(manager)) is PostgreSQLConnection
    assert manager.diagnose().facts["pooler"] == "no"
    assert isinstance(connection_of(opener(f"{postgresql_url}?pooler=true", namespace=namespace)), PooledConnection)


def test_diagnose_shows_a_pooler(narrow: PgBouncer, opener: Opener, namespace: str) -> None:
    assert opener(narrow.url, namespace=namespace).diagnose().facts["pooler"].startswith("yes")


def test_a_session_that_is_older_than_its_connection_belongs_to_a_pooler(
    postgresql_url: str, opener: Opener, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions are older behind a pooler that passes on the key data of its sessions."""
    monkeypatch.setattr("module_sdk_sql.dialects.postgresql.dialect.AGE_MARGIN_SECONDS", -60.0)
    assert isinstance(connection_of(opener(postgresql_url, namespace=namespace)), PooledConnection)


def test_a_change_of_the_session_reveals_a_pooler(postgresql_url: str, opener: Opener, namespace: str) -> None:
    manager = opener(postgresql_url, namespace=namespace)
    connection = connection_of(manager)
    connection.session_pid += 1
    connection.checked_at = 0.0
    assert manager.count() == 0
    assert isinstance(connection_of(manager), PooledConnection)


def test_names_of_prepared_statements_are_unique_per_connection(
    postgresql_url: str, opener: Opener, namespace: str
) -> None:
    names: set[str] = set()
    for number in range(3):
        manager = opener(postgresql_url, namespace=f"{namespace}n{number}")
        for _ in range(4):
            manager.get_tasks_by_key("job", 7)
        connection = connection_of(manager)
        rows = connection.fetch("SELECT name FROM pg_prepared_statements", (), manager.deadline(None))
        found = {row[0] for row in rows if row}
        assert found, "nothing was prepared on a direct connection"
        assert not found & names
        assert all(len(name) > len("_pg3_1000") for name in found)
        names |= found


def test_connecting_through_a_pooler_changes_no_session(narrow: PgBouncer, opener: Opener, namespace: str) -> None:
    """The statement that changes settings compares the pid itself, so it changes none in a session that is not ours."""
    before = settings_of(narrow.url)
    managers = [opener(narrow.url, namespace=f"{namespace}m{number}", timeout_seconds=3) for number in range(6)]
    barrier = threading.Barrier(len(managers))

    def connect(manager: SQLTaskManager) -> None:
        barrier.wait()
        for _ in itertools.repeat(None, 5):
            manager.pool.close_idle()
            manager.ping()

    with ThreadPoolExecutor(len(managers)) as threads:
        list(threads.map(connect, managers))
    assert settings_of(narrow.url) == before
