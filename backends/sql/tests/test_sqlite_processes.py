"""Several processes, including forked ones, use one SQLite file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from module_sdk_sql.manager import SQLTaskManager

from module_sdk import open_manager
from module_sdk.backends import Task

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

PROCESSES = 4
KEYS = 100
spawn = multiprocessing.get_context("spawn")


def submit_all(url: str, barrier: Barrier, results: Connection) -> None:
    """Set up the store and create the same keys as the other processes; runs in a process of its own."""
    manager = open_manager(url, timeout_seconds=60)
    barrier.wait(60)
    created = []
    for number in range(KEYS):
        task = Task.new(user_id=1, organization_id=7, module="tests", task_key=f"key {number}")
        holder, is_created = manager.create(task)
        # A process that lost can read the winner's task at once.
        assert manager.get(holder.id) is not None
        created.append((holder.id, is_created))
    manager.close()
    results.send(created)


def test_four_processes_set_up_and_create_each_key_once(opener: Opener, path: Path) -> None:
    # given processes that open a missing file at the same time
    url = f"sqlite:///{path}"
    barrier = spawn.Barrier(PROCESSES)
    pipes = [spawn.Pipe(duplex=False) for _ in range(PROCESSES)]
    processes = [spawn.Process(target=submit_all, args=(url, barrier, sender)) for _, sender in pipes]
    # when all of them submit the same keys
    for process in processes:
        process.start()
    for _, sender in pipes:
        sender.close()
    answers = [receiver.recv() for receiver, _ in pipes]
    for process in processes:
        process.join(60)
    for receiver, _ in pipes:
        receiver.close()
    # then exactly one created each key, and all got the same id
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    for created in zip(*answers, strict=True):
        assert len({task_id for task_id, _ in created}) == 1
        assert sum(is_created for _, is_created in created) == 1
    assert opener().count() == KEYS


# The text of one `os.write` is never mixed with that of other threads.
WRITE_ON = """
import os, sys, threading
from module_sdk import open_manager
from module_sdk.backends import Task

manager = open_manager(sys.argv[1])

def write_on():
    while True:
        task, _ = manager.create(Task.new(user_id=1, module="m", arguments=[1]))
        os.write(1, f"{task.id}\\n".encode())

for _ in range(int(sys.argv[2])):
    threading.Thread(target=write_on).start()
"""


@pytest.mark.parametrize("threads", [1, 16])
def test_a_killed_process_loses_no_acknowledged_task(opener: Opener, path: Path, threads: int) -> None:
    # given a process whose threads write tasks and print the id of each that was acknowledged
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_ON, f"sqlite:///{path}", str(threads)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(50)]
        # when it is killed during the next write
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    # then each of these tasks is stored completely
    manager = opener()
    for task_id in acknowledged:
        task = manager.get(task_id)
        assert task is not None
        assert task.arguments == [1]
    assert len(acknowledged) <= manager.count() <= len(acknowledged) + threads


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_parent_and_child_work_after_a_fork_under_load(
    manager: SQLTaskManager, new_task: TaskMaker, path: Path
) -> None:
    # given a manager that other threads use without a pause
    manager.setup()
    stop = threading.Event()

    def write_on() -> None:
        while not stop.is_set():
            manager.create(new_task(user_id=2))
            manager.list_user_tasks(2, 7, limit=1)

    threads = [threading.Thread(target=write_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    # when the process forks several times, and each child writes
    for number in range(5):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                manager.create(new_task(user_id=3, label=str(number)))
                status = 0 if len(manager.list_user_tasks(3, 7)) >= 1 else 2
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    stop.set()
    for thread in threads:
        thread.join(60)
    # then every child has written, the parent still works, and closing the file in the parent loses nothing
    assert statuses == [0] * len(children)
    mine = manager.count(filters={"user_id": 2})
    manager.close()
    again = open_manager(f"sqlite:///{path}")
    assert sorted(row["label"] for row in again.list_user_tasks(3, 7)) == ["0", "1", "2", "3", "4"]
    assert again.count(filters={"user_id": 2}) == mine
    again.close()


def test_a_child_keeps_writing_after_its_parent_has_closed_the_file(
    manager: SQLTaskManager, new_task: TaskMaker, opener: Opener
) -> None:
    # given a child that has the file open; SQLite removes the log if it takes the closing process for the last one
    manager.create(new_task(label="parent's"))
    may_go_on, go_on = os.pipe()
    is_open, opened = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            manager.create(new_task(label="child's first"))
            os.write(opened, b"1")
            os.read(may_go_on, 1)
            manager.create(new_task(label="child's second"))
            status = 0
        finally:
            os._exit(status)
    os.read(is_open, 1)
    # when the parent closes first, and the child writes again and exits without closing
    manager.close()
    os.write(go_on, b"1")
    assert os.waitpid(child, 0)[1] == 0
    for descriptor in (may_go_on, go_on, is_open, opened):
        os.close(descriptor)
    # then no task of the child is lost
    labels = [row["label"] for row in opener().list_user_tasks(1, 7)]
    assert labels == ["child's second", "child's first", "parent's"]


def test_a_child_has_a_copy_of_a_database_in_memory(opener: Opener, new_task: TaskMaker) -> None:
    # given tasks in memory
    manager = opener("sqlite://")
    manager.create(new_task())
    child = os.fork()
    if child == 0:
        # when a child writes
        manager.create(new_task())
        os._exit(manager.count())
    # then the child had the parent's task, but the parent does not have the child's
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert manager.count() == 1
