"""A store that is emptied while a process uses it: every call fails, and writes nothing, until `setup` has run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest
import redis
from module_sdk_redis.index_reads import CHUNK
from module_sdk_redis.manager import RedisTaskManager

import module_sdk
from devtools.servers.kinds import Valkey
from devtools.servers.redis_cluster import Cluster
from module_sdk.backends import Task
from module_sdk.errors import ConfigurationError, SchemaMissingError
from tests.support.fixtures import running

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]
Call = Callable[[RedisTaskManager, Task], Any]

# Each is in turn the first call after the store was emptied.
CALLS: Final[dict[str, Call]] = {
    "user": lambda manager, task: manager.list_user_tasks(1, 7),
    "user, limited": lambda manager, task: manager.list_user_tasks(1, 7, limit=1),
    "unknown user": lambda manager, task: manager.list_user_tasks("nobody", 7),
    "key": lambda manager, task: manager.get_tasks_by_key("job", 7),
    "prefix": lambda manager, task: manager.get_tasks_by_key_prefix("j", 7),
    "prefix, limited": lambda manager, task: manager.get_tasks_by_key_prefix("j", 7, limit=1),
    "get": lambda manager, task: manager.get(task.id),
    "get in scope": lambda manager, task: manager.get(task.id, organization_id=7),
    "get of another organization": lambda manager, task: manager.get(task.id, organization_id=8),
    "page": lambda manager, task: manager.page(),
    "page, further": lambda manager, task: manager.page(offset=1),
    "page by id": lambda manager, task: manager.page(filters={"id": task.id}),
    "page by id in scope": lambda manager, task: manager.page(filters={"id": task.id}, organization_id=7),
    "page by user": lambda manager, task: manager.page(filters={"user_id": 1}, organization_id=7),
    "page by key": lambda manager, task: manager.page(filters={"task_key": "job"}, organization_id=7),
    "page by label": lambda manager, task: manager.page(filters={"label": "x"}, sort="label"),
    "count": lambda manager, task: manager.count(),
    "count by id": lambda manager, task: manager.count(filters={"id": task.id}),
    "create": lambda manager, task: manager.create(Task.new(user_id=1, organization_id=7, module="tests")),
    "create again": lambda manager, task: manager.create(task),
    "update": lambda manager, task: manager.update(task.id, progress=0.5),
    "update in scope": lambda manager, task: manager.update(task.id, progress=0.5, organization_id=7),
    "import": lambda manager, task: manager.import_tasks([task]),
    "prune": lambda manager, task: manager.prune(0),
    "prune of a user": lambda manager, task: manager.prune(0, organization_id=7, user_id=1),
    "ping": lambda manager, task: manager.ping(),
    "explain": lambda manager, task: manager.explain("get_tasks_by_key_prefix", "j", 7, limit=1),
    "diagnose": lambda manager, task: manager.diagnose(),
}


@pytest.fixture(scope="module")
def emptied() -> Any:
    """A server for these tests alone, because FLUSHALL removes everything."""
    with running(Valkey) as server:
        yield server


def flush(client: redis.Redis, manager: RedisTaskManager) -> None:
    client.flushall()


def flush_database(client: redis.Redis, manager: RedisTaskManager) -> None:
    client.flushdb()


def delete_marker(client: redis.Redis, manager: RedisTaskManager) -> None:
    """Delete only the schema marker, as if half of a backup had been restored."""
    client.delete(manager.layout.schema)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("empty", [flush, flush_database, delete_marker])
def test_every_call_on_an_emptied_store_fails_until_setup(
    emptied: Valkey,
    opener: Opener,
    new_task: TaskMaker,
    empty: Callable[[redis.Redis, RedisTaskManager], None],
    name: str,
) -> None:
    # given a manager that is in use
    manager = opener(emptied.url)
    task = new_task(task_key="job", label="x")
    manager.create(task)
    CALLS[name](manager, task)
    with redis.Redis.from_url(emptied.url) as client:
        before = client.dbsize()
        # when its store is emptied
        empty(client, manager)
        left = client.dbsize()
        assert left < before
        # then the next call fails with that reason, and so does every other call after it
        with pytest.raises(SchemaMissingError, match="the schema is gone"):
            CALLS[name](manager, task)
        for other in CALLS.values():
            with pytest.raises(SchemaMissingError, match="the schema is gone"):
                other(manager, task)
        # and none of them writes anything
        assert client.dbsize() == left
        # and calls work again once any process has run `setup`
        opener(emptied.url).setup()
        assert manager.list_user_tasks("nobody", 7) == []
        assert manager.create(new_task(task_key="new"))[1]
        client.flushall()


def test_lookups_of_an_emptied_store_return_the_error(emptied: Valkey, namespace: str, new_task: TaskMaker) -> None:
    # given a configured store
    module_sdk.configure(url=emptied.url, namespace=namespace)
    module_sdk.facade.runtime.get_runtime().manager().create(new_task(task_key="job"))
    assert len(module_sdk.tasks.get_tasks_by_key("job", 7)) == 1
    with redis.Redis.from_url(emptied.url) as client:
        client.flushall()
    # when it is emptied, then a lookup returns an empty list with the error
    for _ in range(3):
        rows = module_sdk.tasks.get_tasks_by_key("job", 7)
        assert rows == []
        assert isinstance(rows.error, ConfigurationError)
        assert "the schema is gone" in str(rows.error)
    # and lookups work again after `setup`, without a restart
    module_sdk.facade.runtime.get_runtime().manager().setup()
    assert module_sdk.tasks.get_tasks_by_key("job", 7).error is None
    module_sdk.reset()


def test_a_store_emptied_between_two_round_trips_is_an_error(
    emptied: Valkey, opener: Opener, new_task: TaskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given answers that take several round trips
    manager = opener(emptied.url)
    many = [new_task(task_key=f"job.{number}") for number in range(CHUNK + 10)]
    lookups: list[Callable[[], Any]] = [
        lambda: manager.list_user_tasks(1, 7),
        lambda: manager.get_tasks_by_key_prefix("job.", 7, limit=CHUNK + 5),
        lambda: manager.page(offset=3),
        lambda: manager.count(filters={"label__contains": "a"}),
    ]
    good = manager.pool.call
    with redis.Redis.from_url(emptied.url) as client:
        for lookup in lookups:
            manager.setup()
            manager.import_tasks(many)
            round_trips = 0

            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal round_trips
                reply = good(*args, **kwargs)
                round_trips += 1
                if round_trips == 1:
                    client.flushall()
                return reply

            # when the store is emptied after the first one
            with monkeypatch.context() as patch:
                patch.setattr(manager.pool, "call", call)
                # then the lookup fails instead of returning a shorter answer
                with pytest.raises(SchemaMissingError):
                    lookup()
        client.flushall()


def test_threads_create_no_task_in_an_emptied_store(emptied: Valkey, opener: Opener, new_task: TaskMaker) -> None:
    # given threads that create tasks without a pause
    manager = opener(emptied.url)
    manager.setup()
    done = threading.Event()
    unexpected: list[BaseException] = []

    def work() -> None:
        while not done.is_set():
            try:
                manager.create(new_task(task_key=None))
            except SchemaMissingError:
                pass
            except Exception as error:  # asserted below
                unexpected.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    with redis.Redis.from_url(emptied.url) as client:
        try:
            while client.dbsize() < 50:
                pass
            # when the store is emptied
            client.flushall()
            # then nothing is written from that moment on
            sizes = {client.dbsize() for _ in range(200)}
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert (sizes, unexpected) == ({0}, [])


def test_a_moving_hash_slot_does_not_look_like_an_emptied_store(
    three_nodes: Cluster, opener: Opener, new_task: TaskMaker, namespace: str
) -> None:
    # given a hash slot whose Redis keys move one by one, the marker being one of them
    manager = opener(three_nodes.url, timeout_seconds=1)
    manager.create(new_task(task_key="job"))
    slot = three_nodes.slot(namespace)
    source = three_nodes.owner(slot)
    target = next(node for node in three_nodes.primaries if node is not source)
    three_nodes.open_slot(slot, source, target)
    try:
        while three_nodes.move_keys(slot, source, target, 1):
            # then every answer is right, and no call fails because of a missing schema
            assert len(manager.list_user_tasks(1, 7)) == 1
            assert manager.list_user_tasks("nobody", 7) == []
            assert manager.get_tasks_by_key_prefix("x", 7, limit=1) == []
            assert manager.count() == 1
            manager.ping()
    finally:
        three_nodes.close_slot(slot, target)
    assert manager.create(new_task(task_key="other"))[1]
