"""A cluster of three: redirections, a slot on its way between two nodes, a node that dies."""

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
    """A namespace of the test whose slot that node has."""
    names = (f"{namespace}x{number}" for number in itertools.count())
    return next(name for name in names if three_nodes.owner(three_nodes.slot(name)) is node)


def lookups(manager: RedisTaskManager) -> list[list[str]]:
    """The labels that each lookup finds."""
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
    # given one node's URL, and namespaces that lie on each of the three
    for node in three_nodes.primaries:
        manager = opener(three_nodes.url, namespace=namespace_on(node, three_nodes, namespace))
        # when tasks are recorded, changed, imported and removed
        for task in tasks:
            assert manager.create(task)[1]
        assert manager.import_tasks(tasks) == 0
        assert manager.update(tasks[0].id, status="failed", error="no")
        # then everything is found
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
    """The slot of the test's namespace, the node that has it, and one that it shall move to."""
    slot = three_nodes.slot(namespace)
    source = three_nodes.owner(slot)
    target = next(node for node in three_nodes.primaries if node is not source)
    yield slot, source, target
    three_nodes.close_slot(slot, target)


def test_a_lookup_is_whole_at_every_moment_of_a_slots_move(
    three_nodes: Cluster, opener: Opener, tasks: list[Task], moving: tuple[int, Node, Node]
) -> None:
    # given tasks in a slot of which key after key moves to another node
    manager = opener(three_nodes.url)
    for task in tasks:
        manager.create(task)
    expected = lookups(manager)
    slot, source, target = moving
    three_nodes.open_slot(slot, source, target)
    # when the lookups run between the steps
    steps = 0
    while three_nodes.move_keys(slot, source, target, 4):
        steps += 1
        # then each has its full answer
        assert lookups(manager) == expected, f"after {steps} steps"
    assert steps > 10
    three_nodes.close_slot(slot, target)
    assert lookups(manager) == expected


def test_writes_during_a_slots_move_wait_and_leave_nothing_half_done(
    three_nodes: Cluster, opener: Opener, tasks: list[Task], moving: tuple[int, Node, Node], new_task: TaskMaker
) -> None:
    # given writers that go on while the slot moves
    manager = opener(three_nodes.url, timeout_seconds=20)
    for task in tasks:
        manager.create(task)
    done = threading.Event()
    created: list[Task] = []
    held: list[str] = []
    progress: list[int] = []

    def submit() -> None:
        while not done.is_set():
            task = new_task(user_id=5, task_key=f"new.{len(created)}", arguments=[1])
            manager.create(task)
            created.append(task)
            held.append(manager.create(new_task(user_id=6, task_key="job.1"))[0].id)

    def change() -> None:
        while not done.is_set():
            manager.update(tasks[0].id, progress=(len(progress) % 1_000) / 1_000, checkpoint=len(progress))
            progress.append(len(progress))

    slot, source, target = moving
    with ThreadPoolExecutor(2) as threads:
        work = [threads.submit(submit), threads.submit(change)]
        try:
            wait_until(lambda: len(created) > 10 and len(progress) > 10)
            # when it moves
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
    # then what was acknowledged is there, once, in every index, and no held key was given out a second time
    assert {row["id"] for row in manager.list_user_tasks(5, 7)} == {task.id for task in created}
    assert {row["id"] for row in manager.get_tasks_by_key_prefix("new.", 7)} == {task.id for task in created}
    assert set(held) == {tasks[1].id}
    assert manager.list_user_tasks(6, 7) == []
    changed = manager.get(tasks[0].id)
    assert changed is not None
    assert changed.checkpoint == progress[-1]
    assert len(manager.page(limit=1_000)) == manager.count() == len(created) + len(tasks)


@pytest.mark.parametrize("number", [0, 1])
def test_a_replica_takes_over_from_a_dead_node(
    three_nodes: Cluster, opener: Opener, tasks: list[Task], namespace: str, number: int
) -> None:
    # given a node with the namespace on it: the one whom the URL names, and another
    victim = three_nodes.primaries[number]
    manager = opener(three_nodes.url, namespace=namespace_on(victim, three_nodes, namespace), timeout_seconds=2)
    for task in tasks:
        manager.create(task)
    expected = lookups(manager)
    assert victim.ask("WAIT", 1, 5_000) == 1
    try:
        victim.kill()
        # when it is asked meanwhile
        with pytest.raises(TaskBackendUnavailableError):
            manager.list_user_tasks(1, 7)

        # then the same manager has the answer once a replica has taken over
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
