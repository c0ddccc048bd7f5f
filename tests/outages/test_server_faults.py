"""Every server killed, stopped, restarted and reached through a bad network (clauses FAIL-05 to 09, 13; SEE-04).

One set of tests for all stores: nothing here knows which it talks to.
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
BACK_SECONDS: Final = 10.0
RECOVERY_SECONDS: Final = 1.5

# A server has a minute for each start, and a test may wait for two: to begin with, and after a kill.
pytestmark = pytest.mark.timeout(300)

HURTS: Final[dict[str, tuple[Kind, dict[str, Any]]]] = {
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
    """In front of the server, and the URL that leads through it."""
    kind = server.title.lower()
    made, url = FaultProxy.in_front_of(server.url, SERVERS[kind])
    # A replica set or cluster would send the client past the proxy.
    with made:
        yield made, f"{url}?directConnection=true" if kind == "mongodb" else url


@contextlib.contextmanager
def managed(
    url: str, namespace: str, *, breaker: bool = True, lookup_seconds: float = LOOKUP_SECONDS
) -> Iterator[TaskManager]:
    """A manager of the URL behind the facade, with short deadlines."""
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


def given_tasks(manager: TaskManager, count: int, key: str = "job") -> list[str]:
    """Acknowledged tasks; their ids, newest first."""
    created = [manager.create(new_task(f"{key}.{number}"))[0].id for number in range(count)]
    return created[::-1]


def then_soft_and_in_time(call: Callable[[], Any]) -> None:
    started = time.monotonic()
    rows = call()
    took = time.monotonic() - started
    assert (rows, type(rows.error)) == ([], TaskBackendUnavailableError), rows.error
    assert took < LOOKUP_SECONDS + GRACE_SECONDS


def then_write_fails_in_time(manager: TaskManager, key: str) -> Task:
    task = new_task(key)
    started = time.monotonic()
    with pytest.raises(TaskBackendUnavailableError) as raised:
        manager.create(task)
    assert time.monotonic() - started < WRITE_SECONDS + GRACE_SECONDS
    # A wait that ended at the deadline has no error of the driver yet.
    assert raised.value.__cause__ is not None or "no answer in time" in str(raised.value)
    return task


def then_back(expected: list[str]) -> None:
    """Lookups work again by themselves, and every acknowledged write is there."""
    end = time.monotonic() + BACK_SECONDS
    while (rows := tasks.list_user_tasks(7, 3)).error is not None and time.monotonic() < end:
        time.sleep(0.05)
    assert rows.error is None
    assert [row["id"] for row in rows] == expected
    assert [row["id"] for row in tasks.get_tasks_by_key_prefix("job.", 3)] == expected


def test_a_killed_server_loses_no_acknowledged_write(server: Server, namespace: str) -> None:
    with managed(server.url, namespace) as manager:
        expected = given_tasks(manager, 30)

        server.kill()
        try:
            then_soft_and_in_time(lambda: tasks.list_user_tasks(7, 3))
            then_soft_and_in_time(lambda: tasks.get_tasks_by_key("job.1", 3))
            then_write_fails_in_time(manager, "job.lost")
        finally:
            server.restart()

        then_back(expected)
        given_tasks(manager, 1, "after")


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

        end = time.monotonic() + BACK_SECONDS
        while (rows := tasks.list_user_tasks(7, 3)).error is not None and time.monotonic() < end:
            time.sleep(0.05)
        found = [row["id"] for row in rows]
        assert set(acknowledged) <= set(found)
        assert len(found) == len(set(found))


def test_a_silent_server_is_left_in_time(server: Server, namespace: str) -> None:
    with managed(server.url, namespace) as manager:
        expected = given_tasks(manager, 5)

        server.stop()
        try:
            then_soft_and_in_time(lambda: tasks.list_user_tasks(7, 3))
            then_soft_and_in_time(lambda: tasks.get_tasks_by_key_prefix("job.", 3))
            then_write_fails_in_time(manager, "unsure")
        finally:
            server.cont()

        # The write that nobody answered may have happened; it has another key and the newest place.
        end = time.monotonic() + BACK_SECONDS
        while tasks.list_user_tasks(7, 3).error is not None and time.monotonic() < end:
            time.sleep(0.05)
        assert [row["id"] for row in tasks.get_tasks_by_key_prefix("job.", 3)] == expected


def test_a_silent_server_at_the_first_connection(server: Server, namespace: str) -> None:
    with managed(server.url, namespace) as manager:
        expected = given_tasks(manager, 1)
    module_sdk.configure(url=server.url, namespace=namespace, lookup_timeout_seconds=LOOKUP_SECONDS)

    server.stop()
    try:
        then_soft_and_in_time(lambda: tasks.list_user_tasks(7, 3))
    finally:
        server.cont()

    then_back(expected)


@pytest.mark.parametrize("hurt", HURTS)
def test_a_bad_network_is_soft_and_heals(proxy: tuple[FaultProxy, str], namespace: str, hurt: str) -> None:
    network, url = proxy
    kind, how = HURTS[hurt]
    with managed(url, namespace) as manager:
        expected = given_tasks(manager, 20)
        assert [row["id"] for row in tasks.list_user_tasks(7, 3)] == expected

        network.set(kind, **how)
        then_soft_and_in_time(lambda: tasks.list_user_tasks(7, 3))
        then_soft_and_in_time(lambda: tasks.get_tasks_by_key_prefix("job.", 3))

        network.set(Kind.NONE)
        then_back(expected)


@pytest.mark.parametrize("hurt", ["swallow", "delay"])
def test_lookups_come_back_soon_after_the_breaker_has_opened(
    proxy: tuple[FaultProxy, str], namespace: str, hurt: str
) -> None:
    network, url = proxy
    kind, how = HURTS[hurt]
    with managed(url, namespace, lookup_seconds=0.3) as manager:
        expected = given_tasks(manager, 3)
        for moment in (0.1, 0.5, 0.9):
            # The breaker pings each second, and the network heals in the middle of a ping.
            network.set(kind, **how)
            end = time.monotonic() + 3 + moment
            while time.monotonic() < end:
                assert tasks.list_user_tasks(7, 3).error is not None
                time.sleep(0.01)
            network.set(Kind.NONE)
            healed = time.monotonic()
            then_back(expected)
            assert time.monotonic() - healed < RECOVERY_SECONDS + GRACE_SECONDS


def test_a_lost_reply_and_a_retry_leave_one_active_task(proxy: tuple[FaultProxy, str], namespace: str) -> None:
    network, url = proxy
    with managed(url, namespace) as manager:
        given_tasks(manager, 1)

        network.set(Kind.SWALLOW)
        lost = then_write_fails_in_time(manager, "lost")
        network.set(Kind.NONE)

        again, created = manager.create(lost)
        assert (again.id, created) == (lost.id, True)
        other, created = manager.create(new_task("lost"))
        assert (other.id, created) == (lost.id, False)
        assert [row["id"] for row in tasks.get_tasks_by_key("lost", 3)] == [lost.id]


def test_a_lost_reply_is_retried_in_a_forked_child(proxy: tuple[FaultProxy, str], namespace: str) -> None:
    network, url = proxy
    with managed(url, namespace) as manager:
        given_tasks(manager, 1)
        network.set(Kind.SWALLOW)
        lost = then_write_fails_in_time(manager, "lost")
        network.set(Kind.NONE)

        def retry_and_end() -> None:
            again, created = manager.create(lost)
            assert (again.id, created) == (lost.id, True)
            assert manager.update(lost.id, status="failed", error="in the child") is not None

        in_a_child(retry_and_end)

        # The parent's connections are its own still, and it sees what the child did.
        assert [row["status"] for row in tasks.get_tasks_by_key("lost", 3)] == ["failed"]
        again, created = manager.create(new_task("lost"))
        assert created
        assert [row["id"] for row in tasks.get_tasks_by_key("lost", 3)] == [again.id, lost.id]


@pytest.mark.parametrize("turn", range(2))
def test_an_end_and_a_create_that_both_lose_their_reply(
    proxy: tuple[FaultProxy, str], namespace: str, turn: int
) -> None:
    network, url = proxy
    with managed(url, namespace) as manager:
        (first,) = given_tasks(manager, 1)
        second = new_task("job.0")
        calls: list[Callable[[], object]] = [
            lambda: manager.update(first, status="failed", error="lost"),
            lambda: manager.create(second),
        ]
        with ThreadPoolExecutor(2) as threads:
            network.set(Kind.SWALLOW)
            racing = [threads.submit(call) for call in calls[:: 1 if turn else -1]]
            errors = [type(one.exception()) for one in racing]
            network.set(Kind.NONE)
        assert errors == [TaskBackendUnavailableError] * 2

        # Whichever came first or, for want of a second connection, never arrived: the retries settle it, and nobody
        # else has the key.
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
        (task_id,) = given_tasks(manager, 1)
        manager.update(task_id, status="running")

        network.set(Kind.SWALLOW)
        with pytest.raises(TaskBackendUnavailableError):
            manager.update(task_id, status="completed", result={"rows": 3})
        network.set(Kind.NONE)

        task = manager.get(task_id)
        assert task is not None
        assert (task.status, task.result) == ("completed", {"rows": 3})
        assert manager.create(new_task("job.0"))[1]


def test_failures_leak_nothing(proxy: tuple[FaultProxy, str], namespace: str) -> None:
    network, url = proxy
    # Some drivers wait for a server that refuses until their time is up, hence the short one.
    with managed(url, namespace, breaker=False, lookup_seconds=0.1) as manager:
        expected = given_tasks(manager, 1)
        process = psutil.Process()

        def fail(times: int) -> None:
            network.set(Kind.REFUSE)
            for _ in range(times):
                assert tasks.list_user_tasks(7, 3).error is not None
            network.set(Kind.NONE)
            then_back(expected)

        # A manager may have as many threads as connections, which it starts when a call needs one more.
        fail(2 * manager.options.max_connections)
        threads, descriptors = threading.active_count(), process.num_fds()
        fail(40)

        assert threading.active_count() <= threads + 2
        assert process.num_fds() <= descriptors + 4
