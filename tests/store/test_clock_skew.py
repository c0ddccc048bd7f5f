"""Two hosts that share a store and whose clocks differ by two minutes (clauses ORDER-08, LIFE-05, DEDUP)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest

from module_sdk.backends import Task, TaskManager
from module_sdk.testing import SettableClock

STORES: Final = ("memory", "sqlite", "postgresql", "mariadb", "valkey", "mongodb")
MINUTE: Final = 60

Hosts = tuple[TaskManager, TaskManager]


@pytest.fixture(params=STORES)
def hosts(request: pytest.FixtureRequest, tmp_path: Path, namespace: str, opened: Callable[..., TaskManager]) -> Hosts:
    """Return a manager whose clock is a minute fast, and one whose clock is a minute slow."""
    embedded = {"memory": f"memory://{namespace}", "sqlite": f"sqlite:///{tmp_path / 'tasks.db'}"}
    url = embedded.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    fast, slow = SettableClock(), SettableClock()
    fast.advance(MINUTE)
    slow.advance(-MINUTE)
    return opened(url, namespace=namespace, clock=fast), opened(url, namespace=namespace, clock=slow)


def submit(manager: TaskManager, **fields: object) -> Task:
    """Create a task as a process of that host does: its own clock sets the times."""
    values = {"user_id": 1, "organization_id": 7, "module": "tests", "now": manager.clock(), **fields}
    return manager.create(Task.new(**values))[0]  # type: ignore[arg-type]  # fields of several types


def test_all_hosts_see_one_order_and_lose_nothing(hosts: Hosts) -> None:
    # given tasks that both hosts submit alternately
    submitted = [submit(hosts[number % 2], task_key=f"job.{number}") for number in range(20)]
    # then both list all of them, in the order of their recorded times
    by_time = sorted(submitted, key=lambda task: (task.created_at, task.id), reverse=True)
    for manager in hosts:
        for rows in (manager.list_user_tasks(1, 7), manager.get_tasks_by_key_prefix("job.", 7)):
            assert [row["id"] for row in rows] == [task.id for task in by_time]
        newest = manager.get_tasks_by_key_prefix("job.", 7, limit=3)
        assert [row["id"] for row in newest] == [task.id for task in by_time[:3]]


def test_a_host_with_a_slow_clock_can_change_a_task_of_the_future(hosts: Hosts) -> None:
    # given a task that the fast host has submitted
    fast, slow = hosts
    task = submit(fast, task_key="job")
    # when both hosts change it alternately
    times = [moment(task.to_row()["updated_at"])]
    for number in range(6):
        row = hosts[number % 2 - 1].update(task.id, **({"progress": number / 10} if number else {"status": "running"}))
        assert row is not None
        times.append(moment(row["updated_at"]))
    slow.update(task.id, status="completed", result=1)
    # then times only rise: it was created, then started, then finished
    assert times == sorted(set(times))
    ended = fast.get(task.id)
    assert ended is not None
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.created_at <= ended.started_at <= ended.finished_at == ended.updated_at


def moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text))


def test_a_key_has_one_holder_even_if_clocks_differ(hosts: Hosts) -> None:
    # given a task of one host, when the other host submits the same key, then it gets that task, in both directions
    for one, other in (hosts, hosts[::-1]):
        holder = submit(one, task_key="job")
        assert submit(other, task_key="job").id == holder.id
        other.update(holder.id, status="failed")
        # and the key is free at once
        following = submit(one, task_key="job")
        assert following.id != holder.id
        one.update(following.id, status="interrupted")
    # and the age of an ended task is measured by the clock of the pruning host: for the slow one it is in the future
    fast, slow = hosts
    assert slow.prune(0) == 0
    assert isinstance(fast.clock, SettableClock)
    fast.clock.advance(1)
    assert fast.prune(0) == 4
