"""A read-only MariaDB is not the primary: all calls fail until it takes writes again."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator

import pytest
from module_sdk_sql.manager import SQLTaskManager

import module_sdk
from devtools.servers.kinds import MariaDB
from module_sdk import tasks
from module_sdk.backends import Task, TaskBackendUnavailableError
from tests.support.fixtures import running

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    """A server of its own, because the tests change global settings."""
    with running(MariaDB) as server:
        yield server


@pytest.fixture(
    params=[
        "mariadb+pymysql",
        pytest.param(
            "mariadb+mysqldb",
            marks=pytest.mark.skipif(importlib.util.find_spec("MySQLdb") is None, reason="mysqlclient is optional"),
        ),
    ]
)
def url(request: pytest.FixtureRequest, server: MariaDB) -> str:
    return server.url.replace("mariadb:", f"{request.param}:")


@contextlib.contextmanager
def read_only(server: MariaDB) -> Iterator[None]:
    server.execute(server.url, "SET GLOBAL read_only = 1")
    try:
        yield
    finally:
        server.execute(server.url, "SET GLOBAL read_only = 0")


def test_a_server_that_becomes_read_only_serves_no_call(
    server: MariaDB, url: str, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    # given a manager on a primary, which the facade uses too
    manager = opener(url, namespace=namespace)
    task, _ = manager.create(new_task(task_key="job"))
    module_sdk.configure(manager=manager)

    # when it becomes read-only, then after a second all lookups and other calls fail
    with read_only(server):
        time.sleep(1)
        for _ in range(3):
            answer = tasks.get_tasks_by_key("job", 7)
            assert isinstance(answer.error, TaskBackendUnavailableError)
            assert "read-only" in str(answer.error)
            for ask in (manager.count, manager.page, manager.ping, manager.diagnose, lambda: manager.get(task.id)):
                with pytest.raises(TaskBackendUnavailableError):
                    ask()
        # and a new manager cannot be set up
        with pytest.raises(TaskBackendUnavailableError, match="read-only"):
            opener(url, namespace=namespace).setup()

    # and when it takes writes again, the manager works without a restart
    assert manager.get_tasks_by_key("job", 7)[0]["id"] == task.id
    module_sdk.reset()


def test_writes_to_a_server_that_has_just_become_read_only_are_unavailable(
    server: MariaDB, url: str, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    manager = opener(url, namespace=namespace)
    manager.create(new_task())
    with read_only(server):
        # The user of these tests is an administrator, who may still write, so the next check must refuse the call.
        time.sleep(1)
        with pytest.raises(TaskBackendUnavailableError):
            manager.create(new_task())
    assert manager.count() == 1
