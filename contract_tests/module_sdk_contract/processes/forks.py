"""SEE-07: a process forks while its other threads are inside calls, and each child then uses the manager."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from module_sdk.backends import TaskManager
from module_sdk_contract.data.reference import ENDED
from module_sdk_contract.factories import task_of
from module_sdk_contract.processes.races import frequent_switches

MAXIMUM_BYTES: Final = 4_096
"""The most that a child may write. It must fit into the pipe, because the parent reads after the child has ended."""
CHILD_SECONDS: Final = 10.0
"""The time after which a child counts as hung: five times what it needs on a busy machine."""
INSIDE_SECONDS: Final = 10.0
"""The longest wait for a busy thread to enter its call."""
BUSY_USER: Final = 2

Call = Callable[[], None]


class Calls:
    """Every kind of call of a manager, on its own tasks. Each method raises if the answer is wrong."""

    def __init__(self, manager: TaskManager, user_id: int) -> None:
        self.manager = manager
        self.user_id = user_id
        self.key = f"forking:{uuid.uuid4()}"
        self.ending: list[str] = []
        self.by_name: dict[str, Call] = {
            function.__name__: function
            for function in (
                self.create, self.end, self.update, self.get, self.list_user_tasks, self.count, self.prune, self.page,
                self.import_tasks, self.get_tasks_by_key, self.get_tasks_by_key_prefix, self.interrupt_all, self.ping,
            )
        }  # fmt: skip
        self.task_id = self.new_task(task_key=self.key)
        # A separate task, because a page may miss a task whose position changes during the read.
        self.changing_id = self.new_task()

    def new_task(self, **fields: Any) -> str:
        task, created = self.manager.create(task_of({**self.fields(), **fields}))
        demand(created, f"create of a new task returned another task, {task.id}, as the holder of its key")
        return task.id

    def fields(self) -> dict[str, Any]:
        now = time.time_ns() // 1_000
        return {"id": str(uuid.uuid4()), "user_id": self.user_id, "created_at": now, "updated_at": now}

    def create(self) -> None:
        self.new_task(checkpoint=[1])

    def update(self) -> None:
        row = self.manager.update(self.changing_id, progress=0.5, label="forked", checkpoint={"a": 1})
        demand(row is not None and row["label"] == "forked", f"update returned {row}")

    def end(self) -> None:
        task_id = self.new_task(status="running")
        self.ending.append(task_id)
        self.manager.update(task_id, status="completed", result={"of": task_id})

    def get(self) -> None:
        task = self.manager.get(self.task_id)
        demand(task is not None and task.task_key == self.key, f"get returned {task}")

    def list_user_tasks(self) -> None:
        self.then_lists(self.manager.list_user_tasks(self.user_id))

    def get_tasks_by_key(self) -> None:
        self.then_lists(self.manager.get_tasks_by_key(self.key))

    def get_tasks_by_key_prefix(self) -> None:
        self.then_lists(self.manager.get_tasks_by_key_prefix(self.key[:-1]))

    def page(self) -> None:
        self.then_lists(self.manager.page(filters={"task_key": self.key}))

    def then_lists(self, rows: Sequence[Mapping[str, Any]]) -> None:
        demand(self.task_id in [row["id"] for row in rows], f"{self.task_id} is not among {len(rows)} rows")

    def count(self) -> None:
        found = self.manager.count(filters={"task_key": self.key})
        demand(found == 1, f"count returned {found} instead of 1")

    def import_tasks(self) -> None:
        written = self.manager.import_tasks([task_of(self.fields())])
        demand(written == 1, f"import_tasks of one task returned {written}")

    def interrupt_all(self) -> None:
        ended = self.manager.interrupt_all([self.new_task()], "forked")
        demand(ended == 1, f"interrupt_all of one task returned {ended}")

    def prune(self) -> None:
        # No task of the test is that old, so the tasks that other calls look for are kept.
        self.manager.prune(1_000_000_000)

    def ping(self) -> None:
        self.manager.ping()


class WrongAnswerError(Exception):
    pass


def demand(is_right: bool, found: str) -> None:
    if not is_right:
        raise WrongAnswerError(found)


class BusyThreads:
    """Threads that repeat every kind of call, one kind per thread."""

    def __init__(self, manager: TaskManager) -> None:
        self.calls = Calls(manager, BUSY_USER)
        self.inside = dict.fromkeys(self.calls.by_name, False)
        """By kind of call: whether its thread is inside the call now."""
        self.stop = threading.Event()
        self.failed = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.repeat, args=(name,)) for name in self.inside]
        for thread in threads:
            thread.start()
        try:
            with frequent_switches():
                yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def repeat(self, name: str) -> None:
        call = self.calls.by_name[name]
        while not self.stop.is_set():
            self.inside[name] = True
            try:
                call()
            except Exception as error:
                self.failed = f"{name} on a thread that kept calling raised {type(error).__name__}: {error}"
                self.stop.set()
            self.inside[name] = False

    def wait_until_inside(self, name: str) -> None:
        until = time.monotonic() + INSIDE_SECONDS
        while not self.inside[name] and not self.stop.is_set() and time.monotonic() < until:
            time.sleep(0)


def fork(manager: TaskManager, forks: int, seconds: float) -> dict[str, Any]:
    """Fork during each kind of call in turn, and make every kind of call in each child.

    There are at least `forks` forks, and one for each kind of call if the `seconds` suffice. Returns a description of
    the failure of the first child that failed, and of the parent during or after the forks; the empty text means none.
    """
    busy = BusyThreads(manager)
    found = ""
    with busy.running():
        until = time.monotonic() + seconds
        for number, name in enumerate(itertools.cycle(busy.inside)):
            if number >= forks and (number >= len(busy.inside) or time.monotonic() > until):
                break
            busy.wait_until_inside(name)
            found = use_in_child(busy, name)
            if found or busy.failed:
                break
    failure = f"forked while another thread was in {name}: {found}" if found else ""
    return {"child": failure, "parent": busy.failed or make_every_call(manager, busy, [], lambda _: None)}


def use_in_child(busy: BusyThreads, first: str) -> str:
    """Fork, let the child use the manager, and return a description of its failure; the empty text means none.

    A child that does not end in time is killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        found = make_every_call(busy.calls.manager, busy, [first], lambda name: os.write(writing, f"{name}\n".encode()))
        os.write(writing, found.encode()[:MAXIMUM_BYTES])
        os._exit(0)
    os.close(writing)
    until = time.monotonic() + CHILD_SECONDS
    ended, status = 0, 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.002)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as answer:
        *names, found = answer.read().decode(errors="replace").split("\n", len(busy.inside) + 1)
    if not ended:
        return f"{names[-1]} hung: it neither answered nor raised within {CHILD_SECONDS:g} s"
    code = os.waitstatus_to_exitcode(status)
    return f"ended with exit code {code}" if code else found


def make_every_call(
    manager: TaskManager, busy: BusyThreads, first: list[str], announce: Callable[[str], object]
) -> str:
    """Make every kind of call, those in `first` first, and announce each before it begins.

    Returns a description of the failure; the empty text means none.
    """
    name = "create"
    try:
        announce(name)
        calls = Calls(manager, BUSY_USER + 1)
        for name in [*first, *(name for name in calls.by_name if name not in first)]:
            announce(name)
            calls.by_name[name]()
        then_end_is_atomic(manager, busy.calls.ending[-1:])
    except BaseException as error:  # a forked child must never return into the parent's caller
        return f"{name} raised {type(error).__name__}: {error}"
    return ""


def then_end_is_atomic(manager: TaskManager, task_ids: list[str]) -> None:
    """Raise `WrongAnswerError` unless a task that was being ended during the fork is ended completely or not at all."""
    for task_id in task_ids:
        task = manager.get(task_id)
        if task is None:
            raise WrongAnswerError(f"get of {task_id}, which was created before, returned None")
        is_ended = task.status in ENDED
        expected = ({"of": task_id}, task.updated_at, 1.0) if is_ended else (None, None, 0.0)
        found = (task.result, task.finished_at, task.progress)
        demand(found == expected, f"get of a {task.status} task returned (result, finished_at, progress) {found}")
