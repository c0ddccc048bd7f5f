"""Real sentinels and real failovers: no old row later than a second, and no restart."""

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
from devtools.servers.redis_sentinel import SENTINEL_PASSWORD, SERVICE, Family, SentinelOverTLS, Watched, family
from devtools.servers.tls import RedisOverTLS, authority_of
from module_sdk.backends import ConfigurationError, Task, TaskBackendError, TaskBackendUnavailableError
from tests.support.fixtures import require, running

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]
Event = Callable[[Family, Watched], None]

SECOND: Final = 1.0
GRACE: Final = 0.5


@pytest.fixture(scope="module")
def made() -> Iterator[Family]:
    require(Valkey)
    with family() as made:
        yield made


@pytest.fixture
def watched(made: Family) -> Iterator[Family]:
    """Whole at the beginning, whatever the test before it did."""
    made.settle()
    yield made
    for server in made.servers:
        if server.process is None:
            server.start()
        server.cont()
        server.rejoin()
    for sentinel in made.sentinels:
        sentinel.cont()
    made.settle()


def kill(family: Family, primary: Watched) -> None:
    primary.kill()


def stop(family: Family, primary: Watched) -> None:
    primary.stop()


def isolate(family: Family, primary: Watched) -> None:
    primary.isolate()


def hand_over(family: Family, primary: Watched) -> None:
    family.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)


class Looking:
    """A thread that looks up tasks all the time, and remembers each answer without an error.

    That is when it began, when it ended, and the keys in it.
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
            except Exception as error:  # shown by the test
                self.unexpected.append(error)
            else:
                self.answers.append((began, time.monotonic(), {str(row["task_key"]) for row in rows}))

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()


@pytest.mark.parametrize("event", [kill, stop, isolate, hand_over])
def test_no_old_row_comes_later_than_a_second_after_a_failover(
    watched: Family, opener: Opener, new_task: TaskMaker, namespace: str, event: Event
) -> None:
    # given lookups through the sentinels all the time
    manager = opener(watched.url)
    manager.create(new_task(task_key="job.before"))
    old = watched.primary()
    new = watched.other(old)
    wait_until(lambda: new.ask("ZCARD", manager.layout.pages(None)) == 1)
    with Looking(manager) as looking:
        wait_until(lambda: len(looking.answers) > 10)
        # when a replica takes over, and somebody records a task there at once
        event(watched, old)
        wait_until(lambda: watched.role(new) == "master")
        opener(new.url).create(new_task(task_key="job.after"))
        recorded = time.monotonic()
        # and the old primary comes back while it still thinks that it is one
        if event in (stop, isolate):
            time.sleep(SECOND)
            old.cont()
        # then lookups work again by themselves
        wait_until(lambda: looking.answers[-1][0] > recorded + SECOND + GRACE)
        time.sleep(2 * SECOND)
    # and all that came later than a second had the new task
    assert looking.unexpected == []
    late = [answer for answer in looking.answers if answer[1] > recorded + SECOND + GRACE]
    assert late
    assert {frozenset(keys) for _, _, keys in late} == {frozenset(("job.before", "job.after"))}
    # and so do writes
    assert manager.create(new_task(task_key="job.last"))[1]
    assert watched.other(old).ask("ZCARD", manager.layout.pages(None)) == 3


def test_what_is_acknowledged_in_a_failover_is_there_once(watched: Family, opener: Opener, new_task: TaskMaker) -> None:
    # given a writer that repeats what it is not sure of
    manager = opener(watched.url)
    manager.setup()
    old = watched.primary()
    wait_until(lambda: watched.other(old).ask("EXISTS", manager.layout.schema) == 1)
    handed_over = 0.0
    sure: list[tuple[float, Task]] = []
    until = time.monotonic() + 12
    while time.monotonic() < until:
        if not handed_over and len(sure) > 20:
            watched.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
            handed_over = time.monotonic()
        task = new_task(task_key=f"job.{len(sure)}")
        while True:
            began = time.monotonic()
            try:
                stored, created = manager.create(task, timeout_seconds=2)
            except TaskBackendUnavailableError:
                time.sleep(0.02)
                continue
            assert (stored.id, created) == (task.id, True)
            sure.append((began, task))
            break
        time.sleep(0.01)
    # then what was acknowledged once the new primary was known is there, each task once
    assert watched.primary() is not old
    listed = [row["id"] for row in manager.list_user_tasks(1, 7)]
    assert len(listed) == len(set(listed))
    late = [task.id for began, task in sure if began > handed_over + 3]
    assert late
    assert set(late) <= set(listed)


def test_without_a_majority_of_the_sentinels_no_lookup_is_answered(
    watched: Family, opener: Opener, new_task: TaskMaker
) -> None:
    # given a primary with one sentinel on its side, both of which go on as before
    manager = opener(watched.url)
    manager.create(new_task(task_key="job"))
    for sentinel in watched.sentinels[1:]:
        sentinel.stop()
    time.sleep(SECOND)
    # when it is looked up, then it is an error, in time, whichever sentinel is left
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(TaskBackendUnavailableError, match="sentinels"):
            manager.get_tasks_by_key("job", 7, timeout_seconds=0.5)
        assert time.monotonic() - began < 0.5 + GRACE
    # and works again when the others are back
    for sentinel in watched.sentinels:
        sentinel.cont()
    assert len(manager.get_tasks_by_key("job", 7, timeout_seconds=20)) == 1


def test_a_sentinel_that_hangs_costs_no_lookup(watched: Family, opener: Opener, new_task: TaskMaker) -> None:
    # given two of three sentinels that answer
    manager = opener(watched.url)
    manager.create(new_task(task_key="job"))
    for sentinel in watched.sentinels:
        sentinel.stop()
        # when one after the other hangs, then lookups go on
        end = time.monotonic() + 2 * SECOND
        while time.monotonic() < end:
            assert len(manager.get_tasks_by_key("job", 7)) == 1
        sentinel.cont()
        time.sleep(SECOND)


def threads_of_sentinels() -> int:
    return sum(thread.name == "module-sdk-redis-sentinel" for thread in threading.enumerate())


def test_a_manager_that_rests_asks_no_sentinel(watched: Family, opener: Opener, new_task: TaskMaker) -> None:
    wait_until(lambda: threads_of_sentinels() == 0)
    manager = opener(watched.url)
    manager.create(new_task(task_key="job"))
    assert threads_of_sentinels() == len(watched.sentinels)
    time.sleep(IDLE_SECONDS)
    wait_until(lambda: threads_of_sentinels() == 0)
    assert len(manager.get_tasks_by_key("job", 7)) == 1
    manager.close()
    wait_until(lambda: threads_of_sentinels() == 0)
    with pytest.raises(TaskBackendError, match="closed"):
        manager.ping()


def test_a_forked_child_asks_the_sentinels_itself(watched: Family, opener: Opener, new_task: TaskMaker) -> None:
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
def test_what_is_wrong_is_said(watched: Family, opener: Opener, change: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        opener(watched.url.replace(*change)).count()
    assert "guess" not in str(raised.value)


def test_sentinels_that_nobody_runs_are_unavailable(opener: Opener) -> None:
    with pytest.raises(TaskBackendUnavailableError, match="no majority of the 2 sentinels"):
        opener("redis+sentinel://127.0.0.1:1,127.0.0.1:2/tasks/0").count()


def test_tls_is_for_servers_and_sentinels(opener: Opener, new_task: TaskMaker) -> None:
    # given a server and a sentinel that speak nothing else
    with running(RedisOverTLS) as server, SentinelOverTLS(server, 1) as sentinel:
        login, password = server.url.partition("://")[2].partition("@")[0], quote(SENTINEL_PASSWORD, safe="")
        url = (
            f"rediss+sentinel://{login}@127.0.0.1:{sentinel.port}/{SERVICE}"
            f"?ssl_ca_certs={authority_of(server)}&sentinel_password={password}"
        )
        manager = opener(url)
        assert manager.create(new_task(task_key="job"))[1]
        assert len(manager.get_tasks_by_key("job", 7)) == 1
        # then a URL that leaves TLS out for the sentinels does not find them
        with pytest.raises(TaskBackendUnavailableError):
            opener(f"{url}&sentinel_tls=no", timeout_seconds=1).count()
