"""Fixtures that every test folder shares: real servers, each started at most once a run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.server_process import Server
from tests.servers import KINDS, MariaDB, MongoDB, PostgreSQL, Valkey


def pytest_report_header() -> list[str]:
    return [f"server: {kind.version()}" for kind in KINDS]


def running(kind: type[Server]) -> Iterator[Server]:
    if kind.find_binary() is None:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse(kind.missing())
    with kind() as server:
        yield server


def database(kind: type[Server], request: pytest.FixtureRequest, fixture: str) -> Iterator[str]:
    own = os.environ.get(kind.variable)
    if not own:
        yield request.getfixturevalue(fixture).url
        return
    url = kind.create_database(own)
    yield url
    kind.drop_database(url)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A PostgreSQL that a test may kill, stop and restart; it must leave it running."""
    yield from running(PostgreSQL)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """A MariaDB, as `postgresql_server`."""
    yield from running(MariaDB)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """A Valkey, as `postgresql_server`."""
    yield from running(Valkey)


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[Server]:
    """A standalone MongoDB, as `postgresql_server`."""
    yield from running(MongoDB)


@pytest.fixture(scope="session")
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database that was empty at the start of the run, here or on an instance of one's own."""
    yield from database(PostgreSQL, request, "postgresql_server")


@pytest.fixture(scope="session")
def mariadb_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """As `postgresql_url`, for MariaDB."""
    yield from database(MariaDB, request, "mariadb_server")


@pytest.fixture(scope="session")
def valkey_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """As `postgresql_url`, for Valkey or Redis."""
    yield from database(Valkey, request, "valkey_server")


@pytest.fixture(scope="session")
def mongodb_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """As `postgresql_url`, for MongoDB."""
    yield from database(MongoDB, request, "mongodb_server")
