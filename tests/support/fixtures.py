"""Fixtures that all test folders share: real servers, each started at most once per run, and managers on them."""

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
MINIMUM_FREE_BYTES: Final = 1 << 30


def pytest_report_header() -> list[str]:
    return [f"server: {kind.version()}" for kind in ALL_KINDS]


def require(kind: type[Server]) -> None:
    """Skip the test if the server is missing; under CI fail it."""
    if kind.find_binary() is None:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse(kind.missing())


@contextlib.contextmanager
def running(kind: type[Kind], *options: str) -> Iterator[Kind]:
    """Start a server with additional options on its command line."""
    require(kind)
    with kind(*options) as server:
        yield server


def database(kind: type[Server], request: pytest.FixtureRequest, fixture: str) -> Iterator[str]:
    """Yield the URL of an empty database, on the server of the environment variable or else on that of the fixture."""
    external = os.environ.get(kind.variable)
    if not external:
        yield request.getfixturevalue(fixture).url
        return
    url = kind.create_database(external)
    yield url
    kind.drop_database(url)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A PostgreSQL server that a test may kill, stop and restart, but must leave running."""
    with running(PostgreSQL) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """A MariaDB server, like `postgresql_server`."""
    with running(MariaDB) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """A Valkey server, like `postgresql_server`.

    With the default `everysec` it may keep acknowledged writes in memory for up to two seconds while the disk is busy,
    and a kill would lose them.
    """
    with running(Valkey, "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[Server]:
    """A standalone MongoDB server, like `postgresql_server`."""
    with running(MongoDB) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database that was empty at the start of the run, on a server of the tests or of the developer."""
    yield from database(PostgreSQL, request, "postgresql_server")


@pytest.fixture(scope="session")
def pooler_url(postgresql_url: str) -> Iterator[str]:
    """The URL of an empty database behind PgBouncer, whose clients share three connections to PostgreSQL."""
    with running(PgBouncer, postgresql_url) as pooler:
        yield pooler.url


@pytest.fixture(scope="session")
def mariadb_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Like `postgresql_url`, for MariaDB."""
    yield from database(MariaDB, request, "mariadb_server")


@pytest.fixture(scope="session")
def valkey_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Like `postgresql_url`, for Valkey or Redis."""
    yield from database(Valkey, request, "valkey_server")


@pytest.fixture(scope="session")
def mongodb_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Like `postgresql_url`, for MongoDB."""
    yield from database(MongoDB, request, "mongodb_server")


@pytest.fixture
def folder_in_memory() -> Iterator[Path]:
    """A folder in memory, since an fsync of a disk takes longer than most tests.

    It is an ordinary folder if the system has too little memory.
    """
    has_space = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MINIMUM_FREE_BYTES
    with tempfile.TemporaryDirectory(dir=MEMORY if has_space else None, prefix="module-sdk-") as folder:
        yield Path(folder)


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses, in this run or another run on the same server."""
    return f"t{RUN}_{next(numbers)}"


@pytest.fixture
def opened() -> Iterator[Callable[..., TaskManager]]:
    """A function like `open_manager`, whose managers are closed at the end of the test."""
    managers: list[TaskManager] = []

    def open_and_remember(url: str, **options: Any) -> TaskManager:
        managers.append(open_manager(url, **options))
        return managers[-1]

    yield open_and_remember
    for manager in managers:
        manager.close()


@pytest.fixture
def new_task() -> Callable[..., Task]:
    """A function that returns a new task, with default values for the fields that a test does not give."""

    def make(**fields: Any) -> Task:
        return Task.new(**{"user_id": 1, "organization_id": 7, "module": "tests", **fields})

    return make
