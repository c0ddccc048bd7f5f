"""Many threads on one manager: throughput compared with the reference's, and a check for lost updates.

Each thread alternates between a lookup of ten tasks and a write of a task's progress. A fifth of the writes go to tasks
that all threads share. A third variant is the reference with a little more Python in each call. It shows how much of
the difference is due to the interpreter lock.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
import timeit
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import module_sdk
from benchmarks.data import ORGANIZATIONS, Active
from benchmarks.measure import Figure, figure
from benchmarks.references.base import Reference
from benchmarks.stores import Filled
from module_sdk import tasks

THREADS: Final = 32
SLICES: Final = 6
WARM_UP_SECONDS: Final = 0.5
SHARED_TASKS: Final = 8
FOUND: Final = 10
THROUGHPUT_TIMES: Final = 0.8
BURDEN_MICROSECONDS: Final = 5

Write = Callable[[Active, float], Any]
Lookup = Callable[[Any, Any], Sequence[Any]]


class Client(NamedTuple):
    """The two calls of a thread."""

    lookup: Lookup
    write: Write


class Load:
    """One variant under load in several slices of time, with a client per thread."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = clients
        self.calls = 0
        self.seconds = 0.0
        self.longest_seconds = 0.0
        """The longest time that a lookup and the write after it took together."""
        self.problems: list[str] = []
        self.written: dict[str, float] = {}
        """The last progress of each task that only one thread writes."""
        self.moments: dict[str, list[str]] = {}
        """Every `updated_at` that a write of a shared task returned, by task id."""
        self.lock = threading.Lock()

    @property
    def speed(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds

    def run(self, seconds: float, active: Sequence[Active], users: Sequence[Any]) -> None:
        end = time.perf_counter() + seconds
        numbers = range(len(self.clients))
        threads = [threading.Thread(target=self.work, args=(number, end, active, users)) for number in numbers]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds += time.perf_counter() - began

    def work(self, number: int, end: float, active: Sequence[Active], users: Sequence[Any]) -> None:
        lookup, write = self.clients[number]
        rng = random.Random(number)
        shared, own = active[:SHARED_TASKS], active[SHARED_TASKS + number :: len(self.clients)]
        calls, problems, longest = 0, [], 0.0
        written: dict[str, float] = {}
        moments: dict[str, list[str]] = {}
        now = time.perf_counter()
        for turn in itertools.count():
            began, now = now, time.perf_counter()
            longest = max(longest, now - began)
            if now >= end:
                break
            found = lookup(rng.choice(users), rng.choice(ORGANIZATIONS))
            if len(found) != FOUND:
                problems.append(f"{len(found)} rows, expected {FOUND}: {getattr(found, 'error', None)}")
            is_shared = turn % 5 == 0
            task, progress = rng.choice(shared if is_shared else own), rng.random()
            row = write(task, progress)
            if row is None or row["progress"] != progress:
                problems.append(f"a write returned {row}")
            elif is_shared:
                moments.setdefault(task.task_id, []).append(row["updated_at"])
            else:
                written[task.task_id] = progress
            calls += 2
        with self.lock:
            self.calls += calls
            self.longest_seconds = max(self.longest_seconds, longest)
            self.problems += problems
            self.written |= written
            for task_id, more in moments.items():
                self.moments.setdefault(task_id, []).extend(more)


def thread_figures(filled: Filled, seconds: float) -> list[Figure]:
    """Measure the facade, the reference and the burdened reference in turn, each for that many seconds in all."""
    manager = filled.manager
    module_sdk.configure(manager=manager)
    users = filled.dataset.arguments("list_user_tasks", FOUND)
    active = filled.dataset.active[: SHARED_TASKS + 10 * THREADS]
    with contextlib.ExitStack() as stack:
        references = [filled.reference.for_another_thread() for _ in range(THREADS)]
        for reference in references:
            if reference is not filled.reference:
                stack.callback(reference.close)
        loads = {
            "facade": Load([our_client(manager)] * THREADS),
            "reference": Load([their_client(reference) for reference in references]),
            "burdened": Load([burdened(their_client(reference)) for reference in references]),
        }
        for load in loads.values():
            # Open the connections.
            Load(load.clients).run(WARM_UP_SECONDS, active, users)
        for _, load in itertools.product(range(SLICES), loads.values()):
            load.run(seconds / SLICES, active, users)
            # Check before another variant overwrites the tasks.
            if load is loads["facade"]:
                load.problems += lost_updates(load, manager)
    ours, theirs, burdened_reference = loads.values()
    lost = sum(len(moments) - len(set(moments)) for moments in ours.moments.values())
    if ours.problems:
        raise RuntimeError(f"{len(ours.problems)} calls failed, the first: {ours.problems[0]}")
    burden = f"{BURDEN_MICROSECONDS} µs of Python more per call"
    name = f"{THREADS} threads: "
    return [
        figure(f"{THREADS} threads for {seconds:g} s: calls per second", ours.speed, "calls/s"),
        figure(f"{name}throughput over the reference's", ours.speed / theirs.speed, "times", at_least=THROUGHPUT_TIMES),
        figure(f"{name}the same of the reference with {burden}", burdened_reference.speed / theirs.speed, "times"),
        figure(f"{name}the slowest lookup and write", ours.longest_seconds * 1_000, "ms"),
        figure(f"{name}the slowest of the reference's", theirs.longest_seconds * 1_000, "ms"),
        figure(f"{name}updates that were lost", lost, "updates", at_most=0),
    ]


def our_client(manager: Any) -> Client:
    def write(task: Active, progress: float) -> Any:
        return manager.update(task.task_id, organization_id=task.organization_id, progress=progress)

    return Client(tasks.list_user_tasks, write)


def their_client(reference: Reference) -> Client:
    def write(task: Active, progress: float) -> Any:
        return reference.update_progress(task.task_id, task.organization_id, progress)

    return Client(reference.list_user_tasks, write)


def burdened(client: Client) -> Client:
    """Return a client that first runs a loop of Python, which takes `BURDEN_MICROSECONDS` when no other thread runs."""
    loops = round(
        BURDEN_MICROSECONDS / 1e6 / min(timeit.repeat("for _ in range(1000): pass", number=1, repeat=50)) * 1_000
    )

    def lookup(user: Any, organization: Any) -> Sequence[Any]:
        for _ in range(loops):
            pass
        return client.lookup(user, organization)

    def write(task: Active, progress: float) -> Any:
        for _ in range(loops):
            pass
        return client.write(task, progress)

    return Client(lookup, write)


def lost_updates(load: Load, manager: Any) -> list[str]:
    """Return a message per task whose progress is not the last that was written to it."""
    problems = []
    for task_id, progress in load.written.items():
        task = manager.get(task_id)
        if task is None or task.progress != progress:
            problems.append(f"task {task_id} is {task}, but {progress} was written last")
    load.written.clear()
    return problems
