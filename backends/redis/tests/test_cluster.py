"""A cluster of three primaries: redirections, a hash slot that moves between two nodes, a node that is killed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from module_sdk_redis.manager import RedisTaskManager

from devtools.servers.redis_cluster import Cluster, Node, wait_until
from module_sdk.backends import Task
from module_sdk.errors import TaskBackendUnavailableError

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]


def namespace_on(node: Node, three_nodes: Cluster, namespace: str) -> str:
    """Return a namespace of the test whose hash slot is on that node."""
    names = (f"{namespace}x{number}" for number in itertools.count())
    return next(name for name in names if three_nodes.owner(three_nodes.slot(name)) is node)


def lookups(manager: RedisTaskManager) -> list[list[str]]:
    """Return the labels that each lookup finds."""
    answers = (
        manager.list_user_tasks(1, 7),
        manager.list_user_tasks(1, 7, limit=1),
        manager.get_tasks_by_key("job.3", 7),
        manager.get_tasks_by_key_prefix("job.", 7),
        manager.get_tasks_by_key_prefix("job.", 7, limit=2),
        manager.list_user_tasks(2, 7),
    )
    return [[row["label"] for row in rows] for rows in answers]


@pytest.fixture
def tasks(new_task: TaskMaker) -> list[Task]:
    return [new_task(label=str(number), task_key=f"job.{number}", arguments=[number]) for number in range(30)]


def test_each_namespace_is_found_whichever_node_is_asked_first(
    three_nodes: Cluster, opener: Opener, tasks: list[Task], namespace: str
) -> None:
    # given the URL of one node, and a namespace on each of the three nodes
    for node in three_nodes.primaries:
        manager = opener(three_nodes.url, namespace=namespace_on(node, three_nodes, namespace))
        # when tasks are created, imported and updated
        for task in tasks:
            assert manager.create(task)[1]
        assert manager.import_tasks(tasks) == 0
        assert manager.update(tasks[0].id, status="failed", error="no")
        # then the tasks are found, counted and pruned
        assert lookups(manager)[3] == [str(number) for number in reversed(range(30))]
        found = manager.get(tasks[0].id)
        assert found is not None
        assert (found.status, found.error, found.arguments) == ("failed", "no", [0])
        assert manager.count() == len(manager.page(limit=100)) == 30
        assert manager.prune(0, batch_size=7) == 1
        assert manager.count() == 29
        assert manager.diagnose().facts["mode"] == "cluster"


@pytest.fixture
def moving(three_nodes: Cluster, namespace: str) -> Iterator[tuple[int, Node, Node]]:
    """The hash slot of the test's namespace, the node that has it, and the node that it moves to."""
    slot = three_nodes.slot(namespace)
    source = three_nodes.owner(slot)
    target = next(node for node in three_nodes.primaries if node is not source)
    yield slot, source, target
    three_nodes.close_slot(slot, target)


def test_lookups_are_complete_while_a_hash_slot_moves(
    three_nodes: Cluster, opener: Opener, tasks: list[Task], moving: tuple[int, Node, Node]
) -> None:
    # given tasks in a hash slot whose Redis keys move to another node a few at a time
    manager = opener(three_nodes.url)
    for task in tasks:
        manager.create(task)
    expected = lookups(manager)
    slot, source, target = moving
    three_nodes.open_slot(slot, source, target)
    # when lookups run between the steps
    steps = 0
    while three_nodes.move_keys(slot, source, target, 4):
        steps += 1
        # then each lookup returns its full answer
        assert lookups(manager) == expected, f"after {steps} steps"
    assert steps > 10
    three_nodes.close_slot(slot, target)
    assert lookups(manager) == expected


def test_writes_wait_while_a_hash_slot_moves_and_are_never_half_done(
    three_nodes: Cluster, opener: Opener, tasks: list[Task], moving: tuple[int, Node, Node], new_task: TaskMaker
) -> None:
    # given writers that continue while the hash slot moves
    manager = opener(three_nodes.url, timeout_seconds=20)
    for task in tasks:
        manager.create(task)
    done = threading.Event()
    created: list[Task] = []
    holders: list[str] = []
    progress: list[int] = []

    def submit() -> None:
        while not done.is_set():
            task = new_task(user_id=5, task_key=f"new.{len(created)}", arguments=[1])
            manager.create(task)
            created.append(task)
            holders.append(manager.create(new_task(user_id=6, task_key="job.1"))[0].id)

    def change() -> None:
        while not done.is_set():
            manager.update(tasks[0].id, progress=(len(progress) % 1_000) / 1_000, checkpoint=len(progress))
            progress.append(len(progress))

    slot, source, target = moving
    with ThreadPoolExecutor(2) as threads:
        work = [threads.submit(submit), threads.submit(change)]
        try:
            wait_until(lambda: len(created) > 10 and len(progress) > 10)
            # when the hash slot moves
            three_nodes.open_slot(slot, source, target)
            while three_nodes.move_keys(slot, source, target, 5):
                time.sleep(0.01)
            three_nodes.close_slot(slot, target)
            after = len(created), len(progress)
            wait_until(lambda: len(created) > after[0] + 5 and len(progress) > after[1] + 5)
        finally:
            done.set()
    for finished in work:
        finished.result()
    # then every acknowledged task is in every index once, and no key had two holders
    assert {row["id"] for row in manager.list_user_tasks(5, 7)} == {task.id for task in created}
    assert {row["id"] for row in manager.get_tasks_by_key_prefix("new.", 7)} == {task.id for task in created}
    assert set(holders) == {tasks[1].id}
    assert manager.list_user_tasks(6, 7) == []
    changed = manager.get(tasks[0].id)
    assert changed is not None
    assert changed.checkpoint == progress[-1]
    assert len(manager.page(limit=1_000)) == manager.count() == len(created) + len(tasks)


@pytest.mark.parametrize("number", [0, 1])
def test_a_manager_works_again_once_a_replica_replaces_a_dead_node(
    three_nodes: Cluster, opener: Opener, tasks: list[Task], namespace: str, number: int
) -> None:
    # given the node that has the namespace: the one in the URL, or another
    victim = three_nodes.primaries[number]
    manager = opener(three_nodes.url, namespace=namespace_on(victim, three_nodes, namespace), timeout_seconds=2)
    for task in tasks:
        manager.create(task)
    expected = lookups(manager)
    assert victim.ask("WAIT", 1, 5_000) == 1
    try:
        victim.kill()
        # when that node is dead, then lookups raise
        with pytest.raises(TaskBackendUnavailableError):
            manager.list_user_tasks(1, 7)

        # and the same manager works again once a replica has taken over
        def is_back() -> bool:
            try:
                return lookups(manager) == expected
            except TaskBackendUnavailableError:
                return False

        wait_until(is_back)
        assert manager.update(tasks[0].id, progress=0.5) is not None
    finally:
        victim.restart()
        three_nodes.agree()
