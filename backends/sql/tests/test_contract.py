"""The contract suite for the SQL backend, on every database."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, cast

import pytest
from module_sdk_contract import TaskManagerContract
from module_sdk_contract.harness import Store, unknown
from module_sdk_sql.manager import SQLTaskManager

from devtools.servers.process import restart_server_of
from tests.support.corruption import drop_tables, dumped_tables, scrambled_file, spoil_somehow
from tests.support.held_locks import lock_of
from tests.support.restarts import RestartsServer


class SQLContract(RestartsServer, TaskManagerContract):
    """The hooks of the suite, which are the same for all databases."""

    __test__ = False

    def dump(self, store: Store) -> Iterable[object]:
        return dumped_tables(manager_of(store))

    def corrupt(self, store: Store, task_id: str) -> None:
        spoil_somehow(store.manager, task_id)

    def write_newer_schema(self, store: Store) -> None:
        manager = manager_of(store)
        manager.pool.execute(f"UPDATE {manager.tables.meta_name} SET value = '99'", (), time.monotonic() + 10)

    def empty_store(self, store: Store) -> None:
        drop_tables(manager_of(store))

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        return lock_of(store)


def manager_of(store: Store) -> SQLTaskManager:
    return cast("SQLTaskManager", store.manager)


class TestSQLiteFile(SQLContract):
    """SQLite on a file system in memory: no clause is about power failures, and fsync takes half of the time."""

    __test__ = True

    @pytest.fixture
    def tmp_path(self, folder_in_memory: Path) -> Path:
        return folder_in_memory

    def manager_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'tasks.db'}"

    def dead_url(self, store: Store) -> str:
        return scrambled_file(store.tmp_path)


class TestSQLiteMemory(SQLContract):
    __test__ = True
    url = "sqlite://"


class TestPostgreSQL(SQLContract):
    __test__ = True

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, postgresql_url: str) -> None:
        cls.url = postgresql_url


class TestPostgreSQLBehindAPooler(SQLContract):
    """PostgreSQL behind PgBouncer in transaction mode, where three connections to the server serve all clients."""

    __test__ = True
    server_url: ClassVar[str]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, postgresql_url: str, pooler_url: str) -> None:
        cls.server_url, cls.url = postgresql_url, pooler_url

    def restart_server(self, store: Store) -> None:
        """Restart PostgreSQL, not the pooler, which stores nothing."""
        if not restart_server_of(self.server_url):
            unknown("restart_server")


class TestMariaDB(SQLContract):
    """MariaDB through PyMySQL, even if mysqlclient is installed."""

    __test__ = True

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, mariadb_url: str) -> None:
        cls.url = mariadb_url.replace("mariadb:", "mariadb+pymysql:")
        # Without TLS, because loading the system's certificates per connection takes a fifth of the time. test_tls.py
        # tests TLS.
        cls.url += "?ssl_disabled=true"


class TestMariaDBThroughMysqlclient(SQLContract):
    """MariaDB through mysqlclient, if it is installed, as in .ci/run: it needs a compiler."""

    __test__ = importlib.util.find_spec("MySQLdb") is not None

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, mariadb_url: str) -> None:
        cls.url = mariadb_url.replace("mariadb:", "mariadb+mysqldb:")
