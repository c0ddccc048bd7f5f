"""Real sentinels and real failovers: no lookup returns old rows after a second, and no process needs a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote

import pytest
from module_sdk_redis.manager import RedisTaskManager
from module_sdk_redis.sentinels import IDLE_SECONDS

from devtools.servers.kinds import PASSWORD, Valkey
from devtools.servers.redis_cluster import wait_until
from devtools.servers.redis_sentinel import (
    SENTINEL_PASSWORD,
    SERVICE,
    Deployment,
    SentinelOverTLS,
    Watched,
    sentinel_deployment,
)
from devtools.servers.tls import RedisOverTLS, authority_of
from module_sdk.backends import ConfigurationError, Task, TaskBackendError, TaskBackendUnavailableError
from tests.support.fixtures import require, running

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]
Event = Callable[[Deployment, Watched], None]

SECOND: Final = 1.0
GRACE: Final = 0.5


@pytest.fixture(scope="module")
def made() -> Iterator[Deployment]:
    require(Valkey)
    with sentinel_deployment() as made:
        yield made


@pytest.fixture
def watched(made: Deployment) -> Iterator[Deployment]:
    """Servers and sentinels that all run at the start of a test, even if the last test stopped some."""
    made.settle()
    yield made
    for server in made.servers:
        if server.process is None:
            server.start()
        server.resume()
        server.rejoin()
    for sentinel in made.sentinels:
        sentinel.resume()
    made.settle()


def kill(deployment: Deployment, primary: Watched) -> None:
    primary.kill()


def stop(deployment: Deployment, primary: Watched) -> None:
    primary.suspend()


def isolate(deployment: Deployment, primary: Watched) -> None:
    primary.isolate()


def hand_over(deployment: Deployment, primary: Watched) -> None:
    deployment.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)


class ContinuousLookups:
    """A thread that looks up tasks without a pause, and records each answer without an error.

    An answer consists of its start, its end, and the keys in it.
    """

    def __init__(self, manager: RedisTaskManager) -> None:
        self.manager = manager
        self.done = threading.Event()
        self.answers: list[tuple[float, float, set[str]]] = []
        self.unexpected: list[BaseException] = []
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self) -> None:
        while not self.done.is_set():
            began = time.monotonic()
            try:
                rows = self.manager.get_tasks_by_key_prefix("job", 7, timeout_seconds=2)
            except TaskBackendUnavailableError:
                time.sleep(0.01)
            except Exception as error:  # asserted by the test
                self.unexpected.append(error)
            else:
                self.answers.append((began, time.monotonic(), {str(row["task_key"]) for row in rows}))

    def __enter__(self) -> ContinuousLookups:
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()


@pytest.mark.parametrize("event", [kill, stop, isolate, hand_over])
def test_no_lookup_returns_old_rows_a_second_after_a_failover(
    watched: Deployment, opener: Opener, new_task: TaskMaker, namespace: str, event: Event
) -> None:
    # given continuous lookups through the sentinels
    manager = opener(watched.url)
    manager.create(new_task(task_key="job.before"))
    old = watched.primary()
    new = watched.other(old)
    wait_until(lambda: new.ask("ZCARD", manager.layout.pages(None)) == 1)
    with ContinuousLookups(manager) as lookups:
        wait_until(lambda: len(lookups.answers) > 10)
        # when a replica takes over, and another manager creates a task there at once
        event(watched, old)
        wait_until(lambda: watched.role(new) == "master")
        opener(new.url).create(new_task(task_key="job.after"))
        created_at = time.monotonic()
        # and the old primary returns while it still considers itself one
        if event in (stop, isolate):
            time.sleep(SECOND)
            old.resume()
        # then lookups work again without a restart
        wait_until(lambda: lookups.answers[-1][0] > created_at + SECOND + GRACE)
        time.sleep(2 * SECOND)
    # and all answers later than a second contain the new task
    assert lookups.unexpected == []
    late = [answer for answer in lookups.answers if answer[1] > created_at + SECOND + GRACE]
    assert late
    assert {frozenset(keys) for _, _, keys in late} == {frozenset(("job.before", "job.after"))}
    # and writes work too
    assert manager.create(new_task(task_key="job.last"))[1]
    assert watched.other(old).ask("ZCARD", manager.layout.pages(None)) == 3


def test_tasks_acknowledged_after_a_failover_exist_once(
    watched: Deployment, opener: Opener, new_task: TaskMaker
) -> None:
    # given a writer that retries each create until it is acknowledged, during a failover
    manager = opener(watched.url)
    manager.setup()
    old = watched.primary()
    wait_until(lambda: watched.other(old).ask("EXISTS", manager.layout.schema) == 1)
    handed_over = 0.0
    acknowledged: list[tuple[float, Task]] = []
    until = time.monotonic() + 12
    while time.monotonic() < until:
        if not handed_over and len(acknowledged) > 20:
            watched.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
            handed_over = time.monotonic()
        task = new_task(task_key=f"job.{len(acknowledged)}")
        while True:
            began = time.monotonic()
            try:
                stored, created = manager.create(task, timeout_seconds=2)
            except TaskBackendUnavailableError:
                time.sleep(0.02)
                continue
            assert (stored.id, created) == (task.id, True)
            acknowledged.append((began, task))
            break
        time.sleep(0.01)
    # then each task that was acknowledged after the new primary was known exists once
    assert watched.primary() is not old
    listed = [row["id"] for row in manager.list_user_tasks(1, 7)]
    assert len(listed) == len(set(listed))
    late = [task.id for began, task in acknowledged if began > handed_over + 3]
    assert late
    assert set(late) <= set(listed)


def test_lookups_fail_without_a_majority_of_the_sentinels(
    watched: Deployment, opener: Opener, new_task: TaskMaker
) -> None:
    # given a primary and only one sentinel, both of which still run
    manager = opener(watched.url)
    manager.create(new_task(task_key="job"))
    for sentinel in watched.sentinels[1:]:
        sentinel.suspend()
    time.sleep(SECOND)
    # when a task is looked up, then the lookup fails within its deadline
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(TaskBackendUnavailableError, match="sentinels"):
            manager.get_tasks_by_key("job", 7, timeout_seconds=0.5)
        assert time.monotonic() - began < 0.5 + GRACE
    # and lookups work again when the other sentinels are back
    for sentinel in watched.sentinels:
        sentinel.resume()
    assert len(manager.get_tasks_by_key("job", 7, timeout_seconds=20)) == 1


def test_no_lookup_fails_because_one_sentinel_hangs(watched: Deployment, opener: Opener, new_task: TaskMaker) -> None:
    # given three sentinels
    manager = opener(watched.url)
    manager.create(new_task(task_key="job"))
    for sentinel in watched.sentinels:
        sentinel.suspend()
        # when each one hangs in turn, then lookups still succeed
        end = time.monotonic() + 2 * SECOND
        while time.monotonic() < end:
            assert len(manager.get_tasks_by_key("job", 7)) == 1
        sentinel.resume()
        time.sleep(SECOND)


def sentinel_threads() -> int:
    return sum(thread.name == "module-sdk-redis-sentinel" for thread in threading.enumerate())


def test_an_unused_manager_asks_no_sentinel(watched: Deployment, opener: Opener, new_task: TaskMaker) -> None:
    wait_until(lambda: sentinel_threads() == 0)
    manager = opener(watched.url)
    manager.create(new_task(task_key="job"))
    assert sentinel_threads() == len(watched.sentinels)
    time.sleep(IDLE_SECONDS)
    wait_until(lambda: sentinel_threads() == 0)
    assert len(manager.get_tasks_by_key("job", 7)) == 1
    manager.close()
    wait_until(lambda: sentinel_threads() == 0)
    with pytest.raises(TaskBackendError, match="closed"):
        manager.ping()


def test_a_forked_child_asks_the_sentinels_itself(watched: Deployment, opener: Opener, new_task: TaskMaker) -> None:
    import os  # noqa: PLC0415

    manager = opener(watched.url)
    manager.create(new_task(task_key="job"))
    child = os.fork()
    if not child:
        try:
            os._exit(len(manager.get_tasks_by_key("job", 7)) - 1)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(manager.get_tasks_by_key("job", 7)) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((quote(PASSWORD, safe=""), "guess"), "refuses the user name or the password"),
        ((quote(SENTINEL_PASSWORD, safe=""), "guess"), "sentinel_password"),
        ((f"/{SERVICE}/", "/other/"), "know no service 'other'"),
        (("/0?", "/99?"), "no such database"),
    ],
)
def test_the_error_says_what_is_wrong_with_the_url(
    watched: Deployment, opener: Opener, change: tuple[str, str], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        opener(watched.url.replace(*change)).count()
    assert "guess" not in str(raised.value)


def test_sentinels_that_do_not_run_are_unavailable(opener: Opener) -> None:
    with pytest.raises(TaskBackendUnavailableError, match="no majority of the 2 sentinels"):
        opener("redis+sentinel://127.0.0.1:1,127.0.0.1:2/tasks/0").count()


def test_tls_applies_to_servers_and_sentinels(opener: Opener, new_task: TaskMaker) -> None:
    # given a server and a sentinel that accept only TLS
    with running(RedisOverTLS) as server, SentinelOverTLS(server, 1) as sentinel:
        login, password = server.url.partition("://")[2].partition("@")[0], quote(SENTINEL_PASSWORD, safe="")
        url = (
            f"rediss+sentinel://{login}@127.0.0.1:{sentinel.port}/{SERVICE}"
            f"?ssl_ca_certs={authority_of(server)}&sentinel_password={password}"
        )
        manager = opener(url)
        assert manager.create(new_task(task_key="job"))[1]
        assert len(manager.get_tasks_by_key("job", 7)) == 1
        # then a URL without TLS for the sentinels does not reach them
        with pytest.raises(TaskBackendUnavailableError):
            opener(f"{url}&sentinel_tls=no", timeout_seconds=1).count()
