"""Many threads on one manager: no update is lost, and connections are bounded and return to the pool after errors."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import pytest

from module_sdk import open_manager
from module_sdk.backends import Task, TaskBackendUnavailableError, TaskManager

THREADS: Final = 32
TURNS: Final = 6
SHARED_TASKS: Final = 3
MAXIMUM_CONNECTIONS: Final = 4
# The driver of MongoDB monitors each server over extra connections.
MONITORING_CONNECTIONS: Final = 3
SERVERS: Final = {
    "postgresql": "postgresql_url",
    "mariadb": "mariadb_url",
    "redis": "valkey_url",
    "mongodb": "mongodb_url",
}


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TaskManager]:
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'tasks.db'}"}
    url = urls[request.param] if request.param in urls else request.getfixturevalue(SERVERS[request.param])
    opened = open_manager(url, namespace="many_threads", max_connections=MAXIMUM_CONNECTIONS, timeout_seconds=60)
    with contextlib.closing(opened):
        yield opened
        opened.prune(0)


def keyed_task(number: int) -> Task:
    return Task.new(user_id=7, organization_id=3, module="tests", task_key=f"threads.{number}")


def open_connections(manager: TaskManager) -> int:
    """Return the number of this process's sockets to the manager's server, or of its descriptors of the file."""
    process = psutil.Process()
    if manager.url.scheme == "sqlite":
        path = manager.url.text.removeprefix("sqlite:///")
        return sum(1 for file in process.open_files() if file.path == path)
    port = urlsplit(manager.url.text).port
    return sum(1 for each in process.net_connections("tcp") if each.raddr and each.raddr.port == port)


def test_no_update_is_lost_and_connections_are_bounded(manager: TaskManager) -> None:
    # given one task per thread that only this thread writes, and shared tasks that all threads write: half of the
    # threads write only the progress, half only the label
    own = [manager.create(keyed_task(number))[0] for number in range(THREADS)]
    shared = [manager.create(keyed_task(THREADS + number))[0] for number in range(SHARED_TASKS)]
    lock = threading.Lock()
    moments: defaultdict[str, list[str]] = defaultdict(list)
    most_connections = 0
    errors: list[BaseException] = []

    # when 32 threads look up, write, and make calls that time out
    def work(number: int) -> None:
        nonlocal most_connections
        try:
            for turn in range(1, TURNS + 1):
                row = manager.update(own[number].id, organization_id=3, progress=turn / TURNS)
                assert row is not None
                assert manager.get_tasks_by_key(f"threads.{number}", 3) == [row]
                task = shared[turn % SHARED_TASKS]
                change = {"progress": number / THREADS} if number % 2 else {"label": f"by {number}, turn {turn}"}
                stored = manager.update(task.id, organization_id=3, **change)
                assert stored is not None
                with pytest.raises(TaskBackendUnavailableError):
                    time_out(manager)
                with lock:
                    moments[task.id].append(stored["updated_at"])
                    most_connections = max(most_connections, open_connections(manager))
        except BaseException as error:  # shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []

    # then each task has the last write of its thread, and no two updates of a shared task have the same time
    rows = {row["id"]: row for row in manager.list_user_tasks(7, 3)}
    assert all(rows[task.id]["progress"] == 1.0 for task in own)
    for task in shared:
        assert len(set(moments[task.id])) == len(moments[task.id])
        assert rows[task.id]["updated_at"] == max(moments[task.id])
        # and an update of one field has not overwritten another field
        assert rows[task.id]["label"].startswith("by ")
        assert rows[task.id]["progress"] > 0

    # and there were never more connections than allowed, and all of them work again
    allowed = MAXIMUM_CONNECTIONS + (MONITORING_CONNECTIONS if manager.url.scheme == "mongodb" else 0)
    if manager.url.scheme != "memory":
        assert 0 < most_connections <= allowed
    for _ in range(2 * MAXIMUM_CONNECTIONS):
        assert len(manager.list_user_tasks(7, 3, timeout_seconds=5)) == THREADS + SHARED_TASKS
    for task in [*own, *shared]:
        manager.update(task.id, organization_id=3, status="failed")


def time_out(manager: TaskManager) -> None:
    manager.list_user_tasks(7, 3, timeout_seconds=0)
    # The memory store ignores the timeout.
    raise TaskBackendUnavailableError("the call returned in spite of the timeout")
