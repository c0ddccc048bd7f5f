"""`diagnose` warns of settings that make commits less durable, and of no others."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from module_sdk_sql.manager import SQLTaskManager

from devtools.servers.kinds import MariaDB
from devtools.servers.process import Server

Opener = Callable[..., SQLTaskManager]


@pytest.mark.parametrize(("setting", "warned"), [("off", True), ("normal", True), ("full", False), ("extra", False)])
def test_a_weak_synchronous_setting_of_sqlite_is_a_warning(opener: Opener, setting: str, warned: bool) -> None:
    # given a file that survives a killed process with any value of the setting
    manager = opener(synchronous=setting)
    # when it is diagnosed, then the setting is shown, with a warning if it is weak
    diagnosis = manager.diagnose()
    assert manager.capabilities.durable
    assert diagnosis.facts["synchronous"] == setting
    assert [f"synchronous is {setting}: a power failure" in warning for warning in diagnosis.warnings] == [
        True
    ] * warned


def test_sqlite_waits_for_the_disk_by_default(manager: SQLTaskManager) -> None:
    facts = manager.diagnose().facts
    assert (facts["journal mode"], facts["synchronous"]) == ("wal", "full")


@contextlib.contextmanager
def mariadb_set(server: Server, name: str, value: str, usual: str) -> Iterator[None]:
    MariaDB.execute(server.url, f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        MariaDB.execute(server.url, f"SET GLOBAL {name} = {usual}")


@pytest.mark.parametrize(("value", "words"), [("1", ""), ("3", ""), ("2", "a power failure"), ("0", "a crash")])
def test_the_flush_setting_of_mariadb_decides_durability_and_warnings(
    mariadb_server: Server, opener: Opener, value: str, words: str
) -> None:
    with mariadb_set(mariadb_server, "innodb_flush_log_at_trx_commit", value, "1"):
        # when the store is opened and diagnosed
        manager = opener(mariadb_server.url)
        warnings = manager.diagnose().warnings
        # then the store is durable unless a crash of the server can lose tasks, and a weak setting is a warning
        assert manager.capabilities.durable is (value != "0")
        assert [words in warning for warning in warnings] == [True] * (words != "")


def test_doctor_warns_of_a_packet_that_is_too_small(mariadb_server: Server, opener: Opener) -> None:
    with mariadb_set(mariadb_server, "max_allowed_packet", "1048576", "16777216"):
        (warning,) = opener(mariadb_server.url).diagnose().warnings
    assert "max_allowed_packet is 1,048,576 bytes" in warning


def test_postgresql_with_asynchronous_commits_is_not_durable(
    postgresql_server: Server, opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    # given a URL that asks for asynchronous commits
    url = urlsplit(postgresql_server.url)._replace(query="options=-csynchronous_commit%3Doff").geturl()
    manager = opener(url)
    # when the store is diagnosed, then a warning says what that can cost
    with caplog.at_level(logging.INFO):
        (warning,) = manager.diagnose().warnings
    assert "synchronous_commit is off: a crash of the server" in warning
    assert not manager.capabilities.durable
    levels = [record.levelno for record in caplog.records if "does not count as durable" in record.getMessage()]
    assert levels == [logging.INFO]
    # and the server's own setting has not changed
    usual = opener(postgresql_server.url)
    assert usual.diagnose().warnings == []
    assert usual.capabilities.durable


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_postgresql_that_does_not_wait_for_the_disk_is_a_warning(
    postgresql_server: Server, opener: Opener, name: str
) -> None:
    # given a server with the setting off
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")
        try:
            # when the store is diagnosed after the server has reloaded its settings
            manager = opener(postgresql_server.url)
            end = time.monotonic() + 30
            while (diagnosis := manager.diagnose()).facts[name] != "off":
                assert time.monotonic() < end, diagnosis
                time.sleep(0.02)
            # then there is a warning, but the store is durable: a killed server loses nothing
            assert [warning.partition(":")[0] for warning in diagnosis.warnings] == [f"{name} is off"]
            assert manager.capabilities.durable
        finally:
            connection.execute(f"ALTER SYSTEM RESET {name}")
            connection.execute("SELECT pg_reload_conf()")
