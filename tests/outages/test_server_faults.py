"""Servers that are killed, suspended, restarted or reached through a bad network (clauses FAIL-05 to 09, 13; SEE-04).

Every store gets the same tests, so no test may depend on the kind of its server.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psutil
import pytest
from module_sdk_contract.faults.fault_proxy import FaultProxy, Kind

import module_sdk
from devtools.servers.process import Server
from module_sdk import tasks
from module_sdk.backends import Task, TaskManager
from module_sdk.errors import TaskBackendUnavailableError
from tests.support.forked import in_a_child

SERVERS: Final = {"postgresql": 5432, "mariadb": 3306, "valkey": 6379, "mongodb": 27017}
LOOKUP_SECONDS: Final = 1.0
WRITE_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 1.0
RECOVERY_SECONDS: Final = 10.0
BREAKER_SECONDS: Final = 1.5

# A server may take a minute to start, and a test may wait for two starts: the first, and one after a kill.
pytestmark = pytest.mark.timeout(300)

FAULTS: Final[dict[str, tuple[Kind, dict[str, Any]]]] = {
    "reset": (Kind.RESET, {}),
    "refuse": (Kind.REFUSE, {}),
    "black hole": (Kind.BLACK_HOLE, {}),
    "swallow": (Kind.SWALLOW, {}),
    "drip": (Kind.DRIP, {"seconds": 0.3}),
    "delay": (Kind.DELAY, {"seconds": 5.0}),
    "cut": (Kind.CUT, {"size": 20}),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def proxy(server: Server) -> Iterator[tuple[FaultProxy, str]]:
    """Yield a proxy in front of the server, and the URL of the server through the proxy."""
    kind = server.title.lower()
    made, url = FaultProxy.in_front_of(server.url, SERVERS[kind])
    # Without `directConnection`, a replica set or cluster would send the client past the proxy.
    with made:
        yield made, f"{url}?directConnection=true" if kind == "mongodb" else url


@contextlib.contextmanager
def managed(
    url: str, namespace: str, *, breaker: bool = True, lookup_seconds: float = LOOKUP_SECONDS
) -> Iterator[TaskManager]:
    """Open a manager of `url` and configure it for the facade, with short deadlines."""
    manager = module_sdk.open_manager(url, namespace=namespace, timeout_seconds=WRITE_SECONDS)
    manager.setup(timeout_seconds=30)
    module_sdk.configure(manager=manager, lookup_timeout_seconds=lookup_seconds, breaker=breaker)
    try:
        yield manager
    finally:
        module_sdk.reset()
        manager.close()


def new_task(key: str | None) -> Task:
    return Task.new(user_id=7, organization_id=3, module="faults", task_key=key)


def create_tasks(manager: TaskManager, count: int, key: str = "job") -> list[str]:
    """Create tasks, all acknowledged by the store, and return their ids, newest first."""
    created = [manager.create(new_task(f"{key}.{number}"))[0].id for number in range(count)]
    return created[::-1]


def assert_lookup_fails_in_time(call: Callable[[], Any]) -> None:
    started = time.monotonic()
    rows = call()
    took = time.monotonic() - started
    assert (rows, type(rows.error)) == ([], TaskBackendUnavailableError), rows.error
    assert took < LOOKUP_SECONDS + GRACE_SECONDS


def assert_write_fails_in_time(manager: TaskManager, key: str) -> Task:
    task = new_task(key)
    started = time.monotonic()
    with pytest.raises(TaskBackendUnavailableError) as raised:
        manager.create(task)
    assert time.monotonic() - started < WRITE_SECONDS + GRACE_SECONDS
    # If the deadline passed first, the driver has not raised an error yet.
    assert raised.value.__cause__ is not None or "no answer in time" in str(raised.value)
    return task


def assert_recovers(expected: list[str]) -> None:
    """Assert that lookups work again without intervention, and that they return every acknowledged write."""
    end = time.monotonic() + RECOVERY_SECONDS
    while (rows := tasks.list_user_tasks(7, 3)).error is not None and time.monotonic() < end:
        time.sleep(0.05)
    assert rows.error is None
    assert [row["id"] for row in rows] == expected
    assert [row["id"] for row in tasks.get_tasks_by_key_prefix("job.", 3)] == expected


def test_a_killed_server_loses_no_acknowledged_write(server: Server, namespace: str) -> None:
    with managed(server.url, namespace) as manager:
        expected = create_tasks(manager, 30)

        server.kill()
        try:
            assert_lookup_fails_in_time(lambda: tasks.list_user_tasks(7, 3))
            assert_lookup_fails_in_time(lambda: tasks.get_tasks_by_key("job.1", 3))
            assert_write_fails_in_time(manager, "job.lost")
        finally:
            server.restart()

        assert_recovers(expected)
        create_tasks(manager, 1, "after")


def test_a_kill_among_writers_loses_no_acknowledged_write(server: Server, namespace: str) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def write(manager: TaskManager) -> None:
        while not stop.is_set():
            with contextlib.suppress(module_sdk.ModuleSDKError):
                task, _ = manager.create(new_task(None))
                acknowledged.append(task.id)

    with managed(server.url, namespace) as manager:
        writers = [threading.Thread(target=write, args=(manager,)) for _ in range(4)]
        for writer in writers:
            writer.start()
        while len(acknowledged) < 50:
            time.sleep(0.01)

        server.kill()
        stop.set()
        for writer in writers:
            writer.join()
        server.restart()

        end = time.monotonic() + RECOVERY_SECONDS
        while (rows := tasks.list_user_tasks(7, 3)).error is not None and time.monotonic() < end:
            time.sleep(0.05)
        found = [row["id"] for row in rows]
        assert set(acknowledged) <= set(found)
        assert len(found) == len(set(found))


def test_calls_to_a_silent_server_fail_in_time(server: Server, namespace: str) -> None:
    with managed(server.url, namespace) as manager:
        expected = create_tasks(manager, 5)

        server.suspend()
        try:
            assert_lookup_fails_in_time(lambda: tasks.list_user_tasks(7, 3))
            assert_lookup_fails_in_time(lambda: tasks.get_tasks_by_key_prefix("job.", 3))
            assert_write_fails_in_time(manager, "unsure")
        finally:
            server.resume()

        # The unanswered write may have happened; it has another key, so the prefix must not find it.
        end = time.monotonic() + RECOVERY_SECONDS
        while tasks.list_user_tasks(7, 3).error is not None and time.monotonic() < end:
            time.sleep(0.05)
        assert [row["id"] for row in tasks.get_tasks_by_key_prefix("job.", 3)] == expected


def test_a_lookup_fails_in_time_if_the_server_is_silent_at_the_first_connection(server: Server, namespace: str) -> None:
    with managed(server.url, namespace) as manager:
        expected = create_tasks(manager, 1)
    module_sdk.configure(url=server.url, namespace=namespace, lookup_timeout_seconds=LOOKUP_SECONDS)

    server.suspend()
    try:
        assert_lookup_fails_in_time(lambda: tasks.list_user_tasks(7, 3))
    finally:
        server.resume()

    assert_recovers(expected)


@pytest.mark.parametrize("fault", FAULTS)
def test_calls_on_a_bad_network_fail_in_time_and_recover(
    proxy: tuple[FaultProxy, str], namespace: str, fault: str
) -> None:
    network, url = proxy
    kind, options = FAULTS[fault]
    with managed(url, namespace) as manager:
        expected = create_tasks(manager, 20)
        assert [row["id"] for row in tasks.list_user_tasks(7, 3)] == expected

        network.set(kind, **options)
        assert_lookup_fails_in_time(lambda: tasks.list_user_tasks(7, 3))
        assert_lookup_fails_in_time(lambda: tasks.get_tasks_by_key_prefix("job.", 3))

        network.set(Kind.NONE)
        assert_recovers(expected)


@pytest.mark.parametrize("fault", ["swallow", "delay"])
def test_lookups_recover_soon_after_the_network_although_the_breaker_is_open(
    proxy: tuple[FaultProxy, str], namespace: str, fault: str
) -> None:
    network, url = proxy
    kind, options = FAULTS[fault]
    with managed(url, namespace, lookup_seconds=0.3) as manager:
        expected = create_tasks(manager, 3)
        for moment in (0.1, 0.5, 0.9):
            # The breaker pings each second, and the network heals in the middle of a ping.
            network.set(kind, **options)
            end = time.monotonic() + 3 + moment
            while time.monotonic() < end:
                assert tasks.list_user_tasks(7, 3).error is not None
                time.sleep(0.01)
            network.set(Kind.NONE)
            healed = time.monotonic()
            assert_recovers(expected)
            assert time.monotonic() - healed < BREAKER_SECONDS + GRACE_SECONDS


def test_a_lost_reply_and_a_retry_leave_one_active_task(proxy: tuple[FaultProxy, str], namespace: str) -> None:
    network, url = proxy
    with managed(url, namespace) as manager:
        create_tasks(manager, 1)

        network.set(Kind.SWALLOW)
        lost = assert_write_fails_in_time(manager, "lost")
        network.set(Kind.NONE)

        again, created = manager.create(lost)
        assert (again.id, created) == (lost.id, True)
        other, created = manager.create(new_task("lost"))
        assert (other.id, created) == (lost.id, False)
        assert [row["id"] for row in tasks.get_tasks_by_key("lost", 3)] == [lost.id]


def test_a_lost_reply_is_retried_in_a_forked_child(proxy: tuple[FaultProxy, str], namespace: str) -> None:
    network, url = proxy
    with managed(url, namespace) as manager:
        create_tasks(manager, 1)
        network.set(Kind.SWALLOW)
        lost = assert_write_fails_in_time(manager, "lost")
        network.set(Kind.NONE)

        def retry_and_end() -> None:
            again, created = manager.create(lost)
            assert (again.id, created) == (lost.id, True)
            assert manager.update(lost.id, status="failed", error="in the child") is not None

        in_a_child(retry_and_end)

        # The parent's connections must still work, and it must see the child's writes.
        assert [row["status"] for row in tasks.get_tasks_by_key("lost", 3)] == ["failed"]
        again, created = manager.create(new_task("lost"))
        assert created
        assert [row["id"] for row in tasks.get_tasks_by_key("lost", 3)] == [again.id, lost.id]


@pytest.mark.parametrize("end_first", [False, True])
def test_an_end_and_a_create_that_both_lose_their_reply_can_be_retried(
    proxy: tuple[FaultProxy, str], namespace: str, end_first: bool
) -> None:
    network, url = proxy
    with managed(url, namespace) as manager:
        (first,) = create_tasks(manager, 1)
        second = new_task("job.0")
        calls: list[Callable[[], object]] = [
            lambda: manager.update(first, status="failed", error="lost"),
            lambda: manager.create(second),
        ]
        with ThreadPoolExecutor(2) as threads:
            network.set(Kind.SWALLOW)
            racing = [threads.submit(call) for call in calls[:: 1 if end_first else -1]]
            errors = [type(one.exception()) for one in racing]
            network.set(Kind.NONE)
        assert errors == [TaskBackendUnavailableError] * 2

        # Either call may have been first, and one may not have been sent because there was no second connection. The
        # retries must complete both, and no other task may have the key.
        with contextlib.suppress(module_sdk.IllegalTransitionError):
            manager.update(first, status="failed", error="lost")
        again, created = manager.create(second)
        assert (again.id, created) == (second.id, True)
        holder, created = manager.create(new_task("job.0"))
        assert (holder.id, created) == (second.id, False)
        found = {row["id"]: row["status"] for row in tasks.get_tasks_by_key("job.0", 3)}
        assert found == {first: "failed", second.id: "pending"}


def test_a_lost_reply_to_an_end_is_recorded_once(proxy: tuple[FaultProxy, str], namespace: str) -> None:
    network, url = proxy
    with managed(url, namespace) as manager:
        (task_id,) = create_tasks(manager, 1)
        manager.update(task_id, status="running")

        network.set(Kind.SWALLOW)
        with pytest.raises(TaskBackendUnavailableError):
            manager.update(task_id, status="completed", result={"rows": 3})
        network.set(Kind.NONE)

        task = manager.get(task_id)
        assert task is not None
        assert (task.status, task.result) == ("completed", {"rows": 3})
        assert manager.create(new_task("job.0"))[1]


def test_failures_leak_no_thread_and_no_descriptor(proxy: tuple[FaultProxy, str], namespace: str) -> None:
    network, url = proxy
    # Some drivers retry a refused connection until their deadline, so the deadline is short.
    with managed(url, namespace, breaker=False, lookup_seconds=0.1) as manager:
        expected = create_tasks(manager, 1)
        process = psutil.Process()

        def fail(times: int) -> None:
            network.set(Kind.REFUSE)
            for _ in range(times):
                assert tasks.list_user_tasks(7, 3).error is not None
            network.set(Kind.NONE)
            assert_recovers(expected)

        # A manager may have one thread per connection and starts them on demand, so start all of them first.
        fail(2 * manager.options.max_connections)
        threads, descriptors = threading.active_count(), process.num_fds()
        fail(40)

        assert threading.active_count() <= threads + 2
        assert process.num_fds() <= descriptors + 4
