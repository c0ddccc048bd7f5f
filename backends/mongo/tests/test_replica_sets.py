"""On replica sets, no acknowledged write is lost when a primary fails or steps down, and none is applied twice."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

import pytest
from module_sdk_contract.faults.fault_proxy import FaultProxy, Kind
from module_sdk_mongo.manager import MongoTaskManager

from devtools.servers.replica_set import ReplicaSet
from module_sdk.backends import Task, TaskBackendUnavailableError
from module_sdk.testing import SettableClock

Opener = Callable[..., MongoTaskManager]
TaskMaker = Callable[..., Task]

WRITERS: Final = 4
TASKS_BEFORE_AND_AFTER: Final = 60


class Writers:
    """Threads that create and complete tasks, and record which writes were acknowledged."""

    def __init__(self, manager: MongoTaskManager, new_task: TaskMaker) -> None:
        self.manager = manager
        self.new_task = new_task
        self.created: list[str] = []
        self.completed: list[str] = []
        self.errors: list[Exception] = []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(number,)) for number in range(WRITERS)]

    def write(self, number: int) -> None:
        count = 0
        while not self.is_over.is_set():
            count += 1
            try:
                task, created = self.manager.create(self.new_task(task_key=f"job:{number}:{count}"))
                assert created
                self.created.append(task.id)
                self.manager.update(task.id, status="running")
                self.manager.update(task.id, status="completed", result=count)
                self.completed.append(task.id)
            except TaskBackendUnavailableError as error:
                self.errors.append(error)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        for thread in self.threads:
            thread.start()
        try:
            self.wait_for_progress()
            yield
            self.wait_for_progress()
        finally:
            self.is_over.set()
            for thread in self.threads:
                thread.join()

    def wait_for_progress(self) -> None:
        """Wait until more tasks have been completed."""
        enough = len(self.completed) + TASKS_BEFORE_AND_AFTER
        end = time.monotonic() + 30
        while len(self.completed) < enough:
            assert time.monotonic() < end, self.errors[-1:]
            time.sleep(0.02)


def then_all_exist(manager: MongoTaskManager, writers: Writers) -> None:
    found = {row["id"]: row["status"] for row in manager.list_user_tasks(1, 7, timeout_seconds=30)}
    assert set(writers.created) <= set(found)
    assert {found[task_id] for task_id in writers.completed} == {"completed"}


def test_the_store_works_on_a_replica_set(one_member: ReplicaSet, opener: Opener, new_task: TaskMaker) -> None:
    # given a manager whose URL asks for reads from secondaries and for writes without a majority or a journal
    manager = opener(f"{one_member.url}&readPreference=secondary&w=1&journal=false")

    # when a task is written
    task, created = manager.create(new_task(task_key="job"))
    manager.update(task.id, status="running")

    # then it is read from the primary, and writes waited for the journals of a majority
    assert created
    assert [row["status"] for row in manager.get_tasks_by_key("job", 7)] == ["running"]
    facts = manager.diagnose().facts
    assert facts["topology"] == "replica set rs of 1 members"
    assert facts["write concern"] == "j=True, w=majority"


def test_no_acknowledged_write_is_lost_when_the_primary_steps_down(
    three_members: ReplicaSet, opener: Opener, new_task: TaskMaker
) -> None:
    # given running writers
    manager = opener(three_members.url, timeout_seconds=20)
    writers = Writers(manager, new_task)
    former = three_members.primary()

    # when the primary steps down, and another is elected
    with writers.running():
        three_members.step_down()
        assert three_members.primary() is not former

    # then all acknowledged writes exist, and the driver has retried the others without an error
    then_all_exist(manager, writers)
    assert writers.errors == []


def test_no_acknowledged_write_is_lost_when_the_primary_is_killed(
    three_members: ReplicaSet, opener: Opener, new_task: TaskMaker
) -> None:
    # given running writers
    manager = opener(three_members.url, timeout_seconds=20)
    writers = Writers(manager, new_task)
    victim = three_members.primary()

    # when the primary is killed, and another is elected
    with writers.running():
        victim.kill()
        assert three_members.primary() is not victim
    victim.restart()

    # then all acknowledged writes exist
    then_all_exist(manager, writers)


def test_a_write_without_a_majority_is_not_acknowledged(
    three_members: ReplicaSet, opener: Opener, new_task: TaskMaker
) -> None:
    # given a replica set in which only the primary answers
    manager = opener(three_members.url)
    manager.setup(timeout_seconds=30)
    primary = three_members.primary()
    others = [member for member in three_members.members if member is not primary]
    for member in others:
        member.suspend()

    # when a task is created, then it is not acknowledged
    try:
        with pytest.raises(TaskBackendUnavailableError):
            manager.create(new_task(task_key="job"), timeout_seconds=2)
    finally:
        for member in others:
            member.resume()

    # and writes are acknowledged once there is a majority again
    assert three_members.primary()
    assert manager.get_tasks_by_key("other", 7, timeout_seconds=30) == []
    assert manager.create(new_task(task_key="later"), timeout_seconds=30)[1]


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_write_whose_replies_are_lost_is_applied_once(
    one_member: ReplicaSet, opener: Opener, new_task: TaskMaker, attempts: int
) -> None:
    # given a running task, and a network that cuts off every reply
    clock = SettableClock()
    proxy, _ = FaultProxy.in_front_of(one_member.url, 27017)
    with proxy:
        manager = opener(f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true", clock=clock)
        task, _ = manager.create(new_task(task_key="job", now=clock()))
        manager.update(task.id, status="running")
        proxy.set(Kind.CUT, size=0)

        # when an update reaches the server, but replies arrive only after a while
        recovery = threading.Timer(0.2 * attempts, proxy.set, args=(Kind.NONE,))
        recovery.start()
        row = manager.update(task.id, label="once")
        other, created = manager.create(new_task(task_key="job"))
        recovery.join()

        # then the driver has sent the update again, and the server has applied it once
        stored = manager.get(task.id)
        assert row is not None
        assert stored is not None
        assert (stored.label, stored.updated_at) == ("once", task.created_at + 2)
        assert (other.id, created) == (task.id, False)


def test_a_server_that_accepts_no_writes_is_refused(three_members: ReplicaSet, opener: Opener) -> None:
    # given only the address of a secondary
    primary = three_members.primary()
    secondary = next(member for member in three_members.members if member is not primary)

    # when it is opened, then it is refused, because its data may be old
    with pytest.raises(TaskBackendUnavailableError, match="not a primary"):
        opener(f"mongodb://127.0.0.1:{secondary.port}/?directConnection=true").setup()


def test_a_replica_set_with_another_name_is_unavailable(one_member: ReplicaSet, opener: Opener) -> None:
    port = urlsplit(one_member.url).port
    with pytest.raises(TaskBackendUnavailableError):
        opener(f"mongodb://127.0.0.1:{port}/?replicaSet=other").ping(timeout_seconds=1)


def test_a_member_that_steps_down_answers_no_lookup_over_a_direct_connection(
    three_members: ReplicaSet, opener: Opener, new_task: TaskMaker
) -> None:
    # given a manager with only the address of the primary
    former = three_members.primary()
    manager = opener(f"mongodb://127.0.0.1:{former.port}/?directConnection=true&readPreference=secondaryPreferred")
    task, _ = manager.create(new_task(task_key="job"))
    assert manager.get_tasks_by_key("job", 7)[0]["id"] == task.id

    # when that server steps down, then after a second every call fails
    three_members.step_down()
    assert three_members.primary() is not former
    time.sleep(1)
    for _ in range(3):
        for ask in (manager.count, manager.ping, lambda: manager.get_tasks_by_key("job", 7), manager.page):
            with pytest.raises(TaskBackendUnavailableError):
                ask()

    # and once it is the primary again, calls work
    end = time.monotonic() + 60
    while three_members.primary() is not former:
        assert time.monotonic() < end
        three_members.step_down()
    assert manager.get_tasks_by_key("job", 7, timeout_seconds=10)[0]["id"] == task.id


@pytest.mark.parametrize("preference", ["secondary", "nearest", "secondaryPreferred&maxStalenessSeconds=90"])
def test_reads_go_to_the_primary_even_if_the_url_says_otherwise(
    three_members: ReplicaSet, opener: Opener, new_task: TaskMaker, preference: str
) -> None:
    manager = opener(f"{three_members.url}&readPreference={preference}&readConcernLevel=available&w=1")
    for number in range(50):
        manager.create(new_task(task_key=f"job:{number}"))
        # A task that was just written is found, although no secondary has it yet.
        assert len(manager.get_tasks_by_key(f"job:{number}", 7)) == 1
        assert manager.count(filters={"task_key": f"job:{number}"}) == 1
