"""Many threads on one manager: throughput beside the reference's with the same threads, and nothing lost.

Each thread looks up ten tasks and writes the progress of a task, in turn. A fifth of the writes go to tasks that all
threads share.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import module_sdk
from benchmarks.data import ORGANIZATIONS, Active
from benchmarks.figures import Bound, Figure
from benchmarks.references.base import Reference
from benchmarks.stores import Filled
from module_sdk import tasks

THREADS: Final = 32
SLICES: Final = 6
SHARED_TASKS: Final = 8
FOUND: Final = 10
THROUGHPUT: Final = 0.8

Write = Callable[[Active, float], Any]
LookUp = Callable[[Any, Any], Sequence[Any]]


class Client(NamedTuple):
    """What a thread asks and writes with."""

    look_up: LookUp
    write: Write


class Load:
    """One variant under load, for some slices of time, with a client for each thread."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = clients
        self.calls = 0
        self.seconds = 0.0
        self.problems: list[str] = []
        self.written: dict[str, float] = {}
        """The last progress of each task that one thread alone writes."""
        self.moments: dict[str, list[str]] = {}
        """Every `updated_at` that a write of a shared task was answered with."""
        self.lock = threading.Lock()

    def run(self, seconds: float, active: Sequence[Active], users: Sequence[Any]) -> None:
        end = time.perf_counter() + seconds
        threads = [threading.Thread(target=self.work, args=(number, end, active, users)) for number in range(THREADS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds += time.perf_counter() - began

    def work(self, number: int, end: float, active: Sequence[Active], users: Sequence[Any]) -> None:
        look_up, write = self.clients[number]
        chance = random.Random(number)
        shared, own = active[:SHARED_TASKS], active[SHARED_TASKS + number :: THREADS]
        calls, problems = 0, []
        written: dict[str, float] = {}
        moments: dict[str, list[str]] = {}
        for turn in itertools.count():
            if time.perf_counter() >= end:
                break
            found = look_up(chance.choice(users), chance.choice(ORGANIZATIONS))
            if len(found) != FOUND:
                problems.append(f"{len(found)} rows came: {getattr(found, 'error', None)}")
            is_shared = turn % 5 == 0
            task, progress = chance.choice(shared if is_shared else own), chance.random()
            row = write(task, progress)
            if row is None or row["progress"] != progress:
                problems.append(f"a write was answered with {row}")
            elif is_shared:
                moments.setdefault(task.task_id, []).append(row["updated_at"])
            else:
                written[task.task_id] = progress
            calls += 2
        with self.lock:
            self.calls += calls
            self.problems += problems
            self.written |= written
            for task_id, more in moments.items():
                self.moments.setdefault(task_id, []).extend(more)


def thread_figures(filled: Filled, seconds: float) -> list[Figure]:
    """Ours and the reference's in turn, `seconds` of each in all."""
    manager = filled.manager
    module_sdk.configure(manager=manager)
    users = filled.dataset.arguments("list_user_tasks", FOUND)
    active = filled.dataset.active[: SHARED_TASKS + 10 * THREADS]
    with contextlib.ExitStack() as stack:
        references = [filled.reference.another() for _ in range(THREADS)]
        for reference in references:
            if reference is not filled.reference:
                stack.callback(reference.close)
        loads = {
            "facade": Load([our_client(manager)] * THREADS),
            "reference": Load([their_client(reference) for reference in references]),
        }
        for _, load in itertools.product(range(SLICES), loads.values()):
            load.run(seconds / SLICES, active, users)
            # What one has written last the other must not write over unseen.
            if load is loads["facade"]:
                load.problems += lost_updates(load, manager)
    ours, theirs = loads.values()
    lost = sum(len(moments) - len(set(moments)) for moments in ours.moments.values())
    if ours.problems:
        raise RuntimeError(f"{len(ours.problems)} calls went wrong, the first: {ours.problems[0]}")
    ratio = (ours.calls / ours.seconds) / (theirs.calls / theirs.seconds)
    return [
        Figure(f"{THREADS} threads for {seconds:g} s: calls a second", ours.calls / ours.seconds, "calls/s"),
        Figure(f"{THREADS} threads: throughput over the reference's", ratio, "times", Bound(THROUGHPUT, "at least")),
        Figure(f"{THREADS} threads: updates that were lost", lost, "updates", Bound(0)),
    ]


def our_client(manager: Any) -> Client:
    def write(task: Active, progress: float) -> Any:
        return manager.update(task.task_id, organization_id=task.organization_id, progress=progress)

    return Client(tasks.list_user_tasks, write)


def their_client(reference: Reference) -> Client:
    def write(task: Active, progress: float) -> Any:
        return reference.update_progress(task.task_id, task.organization_id, progress)

    return Client(reference.list_user_tasks, write)


def lost_updates(load: Load, manager: Any) -> list[str]:
    """Tasks that do not hold what was written to them last."""
    problems = []
    for task_id, progress in load.written.items():
        task = manager.get(task_id)
        if task is None or task.progress != progress:
            problems.append(f"task {task_id} holds {task}, and {progress} was written last")
    load.written.clear()
    return problems
