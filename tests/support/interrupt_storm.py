"""A process whose calls are interrupted by real signals: `interrupt_storm.py URL NAMESPACE NUMBER`."""

from __future__ import annotations

import collections
import faulthandler
import itertools
import random
import signal
import sys
import time
from types import FrameType
from typing import Any

from module_sdk import Task, TaskManager, open_manager
from module_sdk.errors import ModuleSDKError

SHORTEST_SECONDS, LONGEST_SECONDS = 0.0001, 0.03
signals = itertools.count(1)
latest = [0]


class TimeLimitError(Exception):
    pass


class Stop(BaseException):
    pass


def interrupt(number: int, frame: FrameType | None) -> None:
    latest[0] = next(signals)
    # A time limit is an ordinary exception in some task queues, and none in others.
    raise random.choice((TimeLimitError, Stop, TimeoutError))


def new_task(number: int) -> Task:
    return Task.new(user_id=7, organization_id=3, module="tests", task_key=f"storm {number}")


def storm(manager: TaskManager, wanted: int, acknowledged: dict[str, float]) -> None:
    """Remembers the progress of each task that was acknowledged, and was not being changed when a signal came."""
    # Hosts keep exceptions, and with them the frames of the calls that they ended.
    kept: collections.deque[BaseException] = collections.deque(maxlen=500)
    calls = 0
    task: Task | None = None
    while latest[0] < wanted:
        calls += 1
        # Again and again: a `TimeoutError` may be taken for one of the system, and then the call goes on.
        signal.setitimer(
            signal.ITIMER_REAL,
            random.uniform(SHORTEST_SECONDS, random.choice((0.002, LONGEST_SECONDS))),
            LONGEST_SECONDS,
        )
        changed: str | None = None
        try:
            while True:
                manager.get_tasks_by_key("storm 1", 3, timeout_seconds=10)
                if task is None or random.random() < 0.1:
                    new = new_task(calls)
                    task, is_new = manager.create(new, timeout_seconds=10)
                    # An earlier turn of this loop may have made one of the same key, and changed it since.
                    if is_new:
                        acknowledged[task.id] = 0.0
                changed, progress = task.id, random.random()
                acknowledged.pop(changed, None)
                manager.update(changed, organization_id=3, progress=progress, timeout_seconds=10)
                acknowledged[changed] = progress
                task = None
        except (TimeLimitError, Stop, TimeoutError, ModuleSDKError) as error:
            kept.append(error)
    signal.setitimer(signal.ITIMER_REAL, 0)


def places_of(manager: Any) -> list[Any]:
    pool = getattr(manager, "pool", None)
    places = [manager.opening.turn]
    if hasattr(manager, "workers"):
        places.append(manager.workers.slots)
    if pool is not None:
        places += [pool.slots] if hasattr(pool, "slots") else [links.slots for links in pool.pools.values()]
        if getattr(pool, "writers", None) is not None:
            places.append(pool.writers.leading)
    return places


def main(url: str, namespace: str, wanted: int) -> None:
    faulthandler.dump_traceback_later(90 + wanted / 50, exit=True)
    manager = open_manager(url, namespace=namespace, max_connections=3)
    manager.setup()
    signal.signal(signal.SIGALRM, interrupt)
    acknowledged: dict[str, float] = {}
    while True:
        try:
            storm(manager, wanted, acknowledged)
            break
        except (TimeLimitError, Stop, TimeoutError):  # it came between two calls
            continue
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    end = time.monotonic() + 10
    while any(places.free != places.number for places in places_of(manager)) and time.monotonic() < end:
        time.sleep(0.01)
    for places in places_of(manager):
        assert places.free == places.number, (places.free, places.number)
    started = time.monotonic()
    for number in range(200):
        manager.get_tasks_by_key("storm 1", 3, timeout_seconds=2)
        manager.create(new_task(-number), timeout_seconds=5)
    assert time.monotonic() - started < 60
    found = {row["id"]: row["progress"] for row in manager.list_user_tasks(7, 3, timeout_seconds=30)}
    lost = {task_id for task_id, progress in acknowledged.items() if found.get(task_id) != progress}
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are lost"
    manager.close()
    print(f"{latest[0]} interrupts, {len(acknowledged)} acknowledged tasks of {len(found)}")
    print("all is well")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
