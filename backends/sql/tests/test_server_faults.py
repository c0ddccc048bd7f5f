"""Servers that die, stop answering, restart or refuse cause typed errors by the deadline, and nothing is lost."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psutil
import pytest
from module_sdk_sql.manager import SQLTaskManager

from devtools.servers.process import Server
from module_sdk.backends import ConfigurationError, Task, TaskBackendUnavailableError

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

# How much later than its deadline a call may end on a busy machine.
GRACE_SECONDS = 1.0


@pytest.fixture(params=["postgresql", "mariadb+pymysql", "mariadb+mysqldb"])
def server_url(request: pytest.FixtureRequest) -> str:
    """The URL of a server that a test may kill, for each driver."""
    if request.param == "mariadb+mysqldb":
        pytest.importorskip("MySQLdb", reason="mysqlclient needs a compiler, so it is tested where it is installed")
    kind = request.param.partition("+")[0]
    server: Server = request.getfixturevalue(f"{kind}_server")
    return server.url.replace(f"{kind}:", f"{request.param}:", 1)


@pytest.fixture
def server(request: pytest.FixtureRequest, server_url: str) -> Iterator[Server]:
    kind = server_url.partition("+")[0].partition(":")[0]
    server: Server = request.getfixturevalue(f"{kind}_server")
    yield server
    if server.process is None:
        server.start()
    server.resume()


@pytest.fixture
def store(opener: Opener, server_url: str) -> SQLTaskManager:
    manager = opener(server_url, namespace=f"f{secrets.token_hex(4)}")
    manager.setup()
    return manager


def then_unavailable_in_time(seconds: float, call: Callable[..., object], *arguments: object) -> None:
    began = time.monotonic()
    with pytest.raises(TaskBackendUnavailableError):
        call(*arguments, timeout_seconds=seconds)
    assert time.monotonic() - began < seconds + GRACE_SECONDS


def test_a_killed_server_is_unavailable_and_comes_back_with_all_it_acknowledged(
    store: SQLTaskManager, server: Server, new_task: TaskMaker
) -> None:
    # given acknowledged tasks
    kept = [store.create(new_task(task_key=f"kept {number}", arguments=[number]))[0] for number in range(20)]
    # when the server dies
    server.kill()
    # then reads and writes fail by their deadlines
    then_unavailable_in_time(2, store.list_user_tasks, 1, 7)
    then_unavailable_in_time(2, store.create, new_task(task_key="lost"))
    then_unavailable_in_time(2, store.ping)
    # and after a restart the very next calls work, and every task exists
    server.restart()
    assert len(store.list_user_tasks(1, 7)) == 20
    store.create(new_task(task_key="after"))
    assert all(store.get(task.id) == task for task in kept)


def test_a_restart_between_two_calls_costs_no_failure(
    store: SQLTaskManager, server: Server, new_task: TaskMaker
) -> None:
    # given several open connections
    threads = [threading.Thread(target=lambda: store.create(new_task())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # when the server is restarted while they are idle
    server.restart()
    # then neither reads nor writes fail
    assert store.count() == 4
    store.create(new_task())
    assert len(store.list_user_tasks(1, 7)) == 5


def test_calls_to_a_silent_server_end_by_their_deadlines(
    store: SQLTaskManager, opener: Opener, server: Server, server_url: str, new_task: TaskMaker
) -> None:
    task, _ = store.create(new_task())
    # when the server accepts data, but does not answer
    server.suspend()
    # then calls on open connections, on new ones and of a new manager end by their deadlines
    then_unavailable_in_time(1, store.list_user_tasks, 1, 7)
    then_unavailable_in_time(1, store.list_user_tasks, 1, 7)
    then_unavailable_in_time(1, store.create, new_task())
    then_unavailable_in_time(1, opener(server_url, namespace=store.options.namespace).list_user_tasks, 1, 7)
    # and when it answers again, the manager works, with no more connections than before
    server.resume()
    end = time.monotonic() + 30
    while True:
        try:
            assert store.get(task.id) == task
            break
        except TaskBackendUnavailableError:
            assert time.monotonic() < end, "the manager did not come back"
            time.sleep(0.1)
    assert store.pool.slots.free == store.dialect.connections


def test_failures_leak_no_thread_and_no_descriptor(store: SQLTaskManager, server: Server, new_task: TaskMaker) -> None:
    # given a server that was killed
    store.create(new_task())
    server.kill()
    then_unavailable_in_time(2, store.list_user_tasks, 1, 7)
    threads, descriptors = threading.active_count(), psutil.Process().num_fds()
    # when many calls are made
    for _ in range(50):
        then_unavailable_in_time(2, store.list_user_tasks, 1, 7)
        then_unavailable_in_time(2, store.create, new_task())
    # then no threads or descriptors have accumulated
    assert threading.active_count() <= threads + 1
    assert psutil.Process().num_fds() <= descriptors + 2
    server.restart()
    assert len(store.list_user_tasks(1, 7)) == 1


def test_a_statement_ends_at_its_deadline(store: SQLTaskManager) -> None:
    sleep = "SELECT pg_sleep(20)::text" if store.url.scheme == "postgresql" else "SELECT SLEEP(20)"
    began = time.monotonic()
    with pytest.raises(TaskBackendUnavailableError):
        store.pool.fetch(sleep, (), began + 0.5)
    assert time.monotonic() - began < 0.5 + GRACE_SECONDS
    assert store.count() == 0


def test_a_forked_child_uses_connections_of_its_own(store: SQLTaskManager, new_task: TaskMaker) -> None:
    # given an open connection
    store.create(new_task(label="parent's"))
    child = os.fork()
    if child == 0:
        # when a child uses the manager, closes it and exits
        status = 1
        try:
            store.create(new_task(label="child's"))
            store.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    # then the parent's connection still works
    assert sorted(row["label"] for row in store.list_user_tasks(1, 7)) == ["child's", "parent's"]
    store.create(new_task())
    assert len(store.pool.members) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "wrong"}, "password"),
        ({"path": "/no_such_database"}, "does not exist"),
    ],
)
def test_a_wrong_login_or_database_is_a_configuration_error(
    opener: Opener, server_url: str, change: dict[str, str], words: str
) -> None:
    # given a URL with a wrong password or database
    parts = urlsplit(server_url)
    login = f"{parts.username}:{change.get('password', parts.password)}"
    wrong = parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}", path=change.get("path", parts.path))
    # when it is used, then the error says which of them is wrong
    with pytest.raises(ConfigurationError, match=words) as caught:
        opener(wrong.geturl()).count()
    assert str(parts.password) not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "mysql+aiomysql"])
def test_an_unsupported_driver_is_refused(opener: Opener, scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="is served by"):
        opener(f"{scheme}://localhost/database")


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgres://localhost/database", "psycopg", "postgres"),
        ("mariadb+pymysql://localhost/database", "pymysql", "mysql"),
    ],
)
def test_a_missing_driver_names_the_extra(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    # given an environment without the driver
    for dialect in ("postgresql", "mariadb"):
        monkeypatch.delitem(sys.modules, f"module_sdk_sql.dialects.{dialect}.dialect", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"module-sdk\[{extra}\]"):
        opener(url)
