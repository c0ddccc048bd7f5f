"""Fixtures that every test folder shares: real servers, each started at most once a run, and managers on them."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from devtools.servers.kinds import KINDS, ICUPostgreSQL, MariaDB, MongoDB, PostgreSQL, Valkey
from devtools.servers.pooler import PgBouncer
from devtools.servers.process import Server
from devtools.servers.tls import RedisOverTLS
from module_sdk import Task, TaskManager, open_manager

Kind = TypeVar("Kind", bound=Server)

RUN: Final = secrets.token_hex(4)
numbers: Final = itertools.count()


ALL_KINDS: Final[tuple[type[Server], ...]] = (*KINDS, ICUPostgreSQL, PgBouncer, RedisOverTLS)
MEMORY: Final = Path("/dev/shm")  # each test has a folder of its own there
LEAST_ROOM_BYTES: Final = 1 << 30


def pytest_report_header() -> list[str]:
    return [f"server: {kind.version()}" for kind in ALL_KINDS]


def require(kind: type[Server]) -> None:
    """Skip the test if the server is missing; under CI that is a failure."""
    if kind.find_binary() is None:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse(kind.missing())


@contextlib.contextmanager
def running(kind: type[Kind], *options: str) -> Iterator[Kind]:
    """The server, with more options on its command line."""
    require(kind)
    with kind(*options) as server:
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
    with running(PostgreSQL) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """A MariaDB, as `postgresql_server`."""
    with running(MariaDB) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """A Valkey, as `postgresql_server`.

    With its default, `everysec`, it holds writes back in memory while the disk is busy with the last ones, for up to
    two seconds: a kill then loses what it has acknowledged.
    """
    with running(Valkey, "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[Server]:
    """A standalone MongoDB, as `postgresql_server`."""
    with running(MongoDB) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database that was empty at the start of the run, here or on an instance of one's own."""
    yield from database(PostgreSQL, request, "postgresql_server")


@pytest.fixture(scope="session")
def pooler_url(postgresql_url: str) -> Iterator[str]:
    """The URL of an empty database of that PostgreSQL through PgBouncer, with three connections for all its clients."""
    with running(PgBouncer, postgresql_url) as pooler:
        yield pooler.url


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


@pytest.fixture
def folder_in_memory() -> Iterator[Path]:
    """A folder for files that need not outlive the machine: each fsync of a disk takes longer than most tests.

    It is an ordinary folder where the system has no room in memory.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > LEAST_ROOM_BYTES
    with tempfile.TemporaryDirectory(dir=MEMORY if has_room else None, prefix="module-sdk-") as folder:
        yield Path(folder)


@pytest.fixture
def namespace() -> str:
    """One that no other test has, in this run or another on the same server."""
    return f"t{RUN}_{next(numbers)}"


@pytest.fixture
def opened() -> Iterator[Callable[..., TaskManager]]:
    """`open_manager`, for managers that are closed at the end of the test."""
    managers: list[TaskManager] = []

    def open_and_remember(url: str, **options: Any) -> TaskManager:
        managers.append(open_manager(url, **options))
        return managers[-1]

    yield open_and_remember
    for manager in managers:
        manager.close()


@pytest.fixture
def new_task() -> Callable[..., Task]:
    """Makes tasks; what a test does not care about has a value."""

    def make(**fields: Any) -> Task:
        return Task.new(**{"user_id": 1, "organization_id": 7, "module": "tests", **fields})

    return make
