"""Servers whose settings fold, pad or reorder text, or whose users lack rights: same results, or a clear error."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from module_sdk_sql.manager import SQLTaskManager

from devtools.servers.kinds import ICUPostgreSQL, MariaDB, PostgreSQL
from module_sdk.backends import ConfigurationError, Task
from tests.support.fixtures import running

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

# Keys that some collation considers equal, or does not sort by their bytes.
KEYS = ["a", "A", "a ", "ä", "a\u0308", "ａ", "a-b", "ab", "a_b", "a%", "a\\", "ß", "ss", "😀", "\uffff", "i", "İ", "ı"]


def then_keys_are_distinct(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    for key in KEYS:
        assert manager.create(new_task(task_key=key))[1], f"{key!a} was confused with another key"
    for key in KEYS:
        assert [row["task_key"] for row in manager.get_tasks_by_key(key, 7)] == [key]
        matching = {row["task_key"] for row in manager.get_tasks_by_key_prefix(key, 7)}
        assert matching == {other for other in KEYS if other.startswith(key)}
    sorted_keys = [row["task_key"] for row in manager.page(sort="task_key", limit=100)]
    assert sorted_keys == sorted(KEYS, key=str.encode)
    assert manager.count(filters={"task_key__contains": "A"}) == 1


@pytest.fixture(scope="module")
def icu_server() -> Iterator[ICUPostgreSQL]:
    """PostgreSQL with an ICU locale and the old rules for backslashes in strings."""
    with running(ICUPostgreSQL, "--standard_conforming_strings=off") as server:
        yield server


def test_postgresql_with_an_icu_locale_compares_keys_by_bytes(
    icu_server: ICUPostgreSQL, opener: Opener, new_task: TaskMaker
) -> None:
    then_keys_are_distinct(opener(icu_server.url), new_task)


@pytest.fixture(scope="module")
def folding_server() -> Iterator[MariaDB]:
    """MariaDB with the settings that old guides recommend."""
    options = [
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_unicode_ci",
        "--sql-mode=",
        "--transaction-isolation=REPEATABLE-READ",
        "--innodb-strict-mode=OFF",
        "--lower-case-table-names=1",
    ]
    with running(MariaDB, *options) as server:
        yield server


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb"])
def test_mariadb_with_a_folding_collation_and_no_sql_mode_compares_keys_by_bytes(
    folding_server: MariaDB, opener: Opener, new_task: TaskMaker, driver: str
) -> None:
    if driver == "mysqldb":
        pytest.importorskip("MySQLdb", reason="mysqlclient needs a compiler, so it is tested where it is installed")
    url = folding_server.url.replace("mariadb:", f"mariadb+{driver}:")
    then_keys_are_distinct(opener(url, namespace=f"n{secrets.token_hex(4)}"), new_task)


def test_postgresql_that_is_not_utf_8_is_refused(postgresql_server: PostgreSQL, opener: Opener) -> None:
    name = f"latin_{secrets.token_hex(4)}"
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(ConfigurationError, match="LATIN1"):
        opener(urlsplit(postgresql_server.url)._replace(path=f"/{name}").geturl()).count()


def then_reading_and_writing_is_enough(manager: SQLTaskManager, new_task: TaskMaker) -> None:
    """Assert that a manager works with tables that another user has created."""
    task, created = manager.create(new_task(task_key="job", arguments=[1]))
    assert created
    manager.update(task.id, status="failed", error="no")
    assert (manager.count(), manager.prune(0), manager.diagnose().warnings) == (1, 1, [])
    assert manager.import_tasks([task]) == 1


def test_a_postgresql_user_who_may_not_create_tables_gets_the_statement(
    postgresql_server: PostgreSQL, opener: Opener, new_task: TaskMaker
) -> None:
    # given a user who may only connect
    user = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'secret'")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    parts = urlsplit(postgresql_server.url)
    url = parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}").geturl()
    # when the manager is used, then the error contains the statement
    with pytest.raises(ConfigurationError, match="CREATE TABLE IF NOT EXISTS rights__tasks"):
        opener(url, namespace="rights").count()
    # and when another user has created the tables, the right to read and write them is enough
    opener(postgresql_server.url, namespace="rights").setup()
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}")
    then_reading_and_writing_is_enough(opener(url, namespace="rights"), new_task)


def test_a_mariadb_user_who_may_not_create_tables_gets_the_statement(
    mariadb_server: MariaDB, opener: Opener, new_task: TaskMaker
) -> None:
    # given a user who may only read and write
    parts = urlsplit(mariadb_server.url)
    user, database = f"writer_{secrets.token_hex(4)}", parts.path[1:]
    MariaDB.execute(mariadb_server.url, f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'secret'")
    MariaDB.execute(mariadb_server.url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO '{user}'@'127.0.0.1'")
    url = parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}").geturl()
    # when the manager is used, then the error contains the statement
    with pytest.raises(ConfigurationError, match="CREATE TABLE rights__tasks"):
        opener(url, namespace="rights").count()
    # and when another user has created the tables, these rights are enough
    opener(mariadb_server.url, namespace="rights").setup()
    then_reading_and_writing_is_enough(opener(url, namespace="rights"), new_task)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_eight_managers_may_set_up_at_once(
    kind: str, request: pytest.FixtureRequest, opener: Opener, new_task: TaskMaker
) -> None:
    # given managers that find no schema
    url = request.getfixturevalue(f"{kind}_url")
    namespace = f"s{secrets.token_hex(4)}"
    managers = [opener(url, namespace=namespace, timeout_seconds=60) for _ in range(8)]
    # when all of them set up at once
    failures: list[Exception] = []
    barrier = threading.Barrier(len(managers))

    def set_up(manager: SQLTaskManager) -> None:
        barrier.wait(60)
        try:
            manager.setup()
        except Exception as error:  # any error fails the test
            failures.append(error)

    threads = [threading.Thread(target=set_up, args=(manager,)) for manager in managers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # then none failed, and they share one store
    assert failures == []
    managers[0].create(new_task())
    assert managers[-1].count() == 1
