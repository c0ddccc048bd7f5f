"""A primary that is demoted: after a second, no lookup returns the data of the replica."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import redis
from module_sdk_contract.faults.fault_proxy import FaultProxy, Kind
from module_sdk_redis.manager import RedisTaskManager

import module_sdk
from devtools.servers.kinds import PASSWORD, Valkey
from module_sdk.backends import Task, TaskBackendUnavailableError
from tests.support.fixtures import running

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]

SECOND: Final = 1.0
# The time that a busy machine may need for one round trip.
GRACE: Final = 0.5

READS: Final[dict[str, Callable[[RedisTaskManager, Task], Any]]] = {
    "user": lambda manager, task: manager.list_user_tasks(1, 7),
    "key": lambda manager, task: manager.get_tasks_by_key("job", 7),
    "prefix": lambda manager, task: manager.get_tasks_by_key_prefix("j", 7),
    "prefix, limited": lambda manager, task: manager.get_tasks_by_key_prefix("j", 7, limit=1),
    "get": lambda manager, task: manager.get(task.id),
    "page": lambda manager, task: manager.page(),
    "count": lambda manager, task: manager.count(),
    "ping": lambda manager, task: manager.ping(),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Valkey, Valkey]]:
    """Two servers, either of which may be the primary."""
    options = ("--appendfsync", "always", "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0")
    with running(Valkey, *options) as first, running(Valkey, *options) as second:
        yield first, second


@contextlib.contextmanager
def client_of(server: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.base_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def demote(pair: tuple[Valkey, Valkey]) -> Iterator[Callable[[], None]]:
    """Make the first server a replica of the second until the end of the test."""
    first, second = pair
    with client_of(first) as client:

        def follow() -> None:
            client.replicaof("127.0.0.1", str(second.port))

        yield follow
        client.replicaof("NO", "ONE")
        client.flushall()


@pytest.mark.parametrize("name", READS)
def test_a_read_from_a_demoted_primary_is_an_error(
    pair: tuple[Valkey, Valkey], demote: Callable[[], None], opener: Opener, new_task: TaskMaker, name: str
) -> None:
    # given a manager that has just used its connection
    manager = opener(pair[0].url)
    task = new_task(task_key="job")
    manager.create(task)
    READS[name](manager, task)
    # when its server is demoted, but answers reads as before
    demote()
    time.sleep(SECOND)
    with client_of(pair[0]) as client:
        assert client.role()[0] == "slave"
    # then each call that starts a second later is an error
    with pytest.raises(TaskBackendUnavailableError, match="is a replica"):
        READS[name](manager, task)
    with pytest.raises(TaskBackendUnavailableError, match="is a replica"):
        READS[name](manager, task)


def test_continuous_lookups_fail_within_a_second_of_a_demotion(
    pair: tuple[Valkey, Valkey], demote: Callable[[], None], namespace: str, new_task: TaskMaker
) -> None:
    # given lookups that follow each other without a pause
    module_sdk.configure(url=pair[0].url, namespace=namespace)
    module_sdk.facade.runtime.get_runtime().manager().create(new_task(task_key="job"))
    assert module_sdk.tasks.get_tasks_by_key("job", 7).error is None
    demote()
    demoted = time.monotonic()
    # when the primary is demoted, then the last lookup without an error ends within a second
    last = demoted
    while time.monotonic() < demoted + 3:
        if module_sdk.tasks.get_tasks_by_key("job", 7).error is None:
            last = time.monotonic()
    assert last - demoted < SECOND + GRACE
    # and lookups work again once it is promoted and `setup` has made the schema, which the other server did not have
    with client_of(pair[0]) as client:
        client.replicaof("NO", "ONE")
    module_sdk.facade.runtime.get_runtime().manager().setup()
    until = time.monotonic() + 10
    while module_sdk.tasks.get_tasks_by_key("job", 7).error is not None and time.monotonic() < until:
        time.sleep(0.05)
    assert module_sdk.tasks.get_tasks_by_key("job", 7).error is None
    module_sdk.reset()


def test_a_reply_to_a_command_that_the_network_delayed_does_not_count_after_a_demotion(
    pair: tuple[Valkey, Valkey], demote: Callable[[], None], opener: Opener, new_task: TaskMaker
) -> None:
    # given a lookup in progress, whose command was sent while the role of the server was known
    parts = urlsplit(pair[0].url)
    with FaultProxy("127.0.0.1", parts.port or 0) as proxy:
        url = parts._replace(netloc=parts.netloc.replace(str(parts.port), str(proxy.port))).geturl()
        manager = opener(url, timeout_seconds=20)
        manager.create(new_task(task_key="job"))
        proxy.set(Kind.BLACK_HOLE)
        with ThreadPoolExecutor(1) as threads:
            lookup = threads.submit(manager.get_tasks_by_key, "job", 7)
            # when the server is demoted before the network delivers the command
            time.sleep(2 * SECOND)
            demote()
            proxy.set(Kind.NONE)
            # then the reply is refused
            with pytest.raises(TaskBackendUnavailableError, match="is a replica"):
                lookup.result(timeout=30)
