"""A process whose calls are interrupted by real signals. Usage: `interrupt_storm.py URL NAMESPACE NUMBER`."""

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
    # The time limit of some task queues is an `Exception`, that of others only a `BaseException`.
    raise random.choice((TimeLimitError, Stop, TimeoutError))


def new_task(number: int) -> Task:
    return Task.new(user_id=7, organization_id=3, module="tests", task_key=f"storm {number}")


def storm(manager: TaskManager, wanted: int, acknowledged: dict[str, float]) -> None:
    """Make calls until `wanted` signals have interrupted them.

    `acknowledged` receives the progress of each task whose last change was acknowledged. A task that was being changed
    when a signal arrived is removed from it.
    """
    # Hosts may store exceptions, which keep the frames of the interrupted calls alive.
    kept: collections.deque[BaseException] = collections.deque(maxlen=500)
    calls = 0
    task: Task | None = None
    while latest[0] < wanted:
        calls += 1
        # The timer repeats, because a call may mistake this `TimeoutError` for one of the system and continue.
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
                    # An earlier iteration may have created the task of this key, and changed it since.
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


def slot_pools_of(manager: Any) -> list[Any]:
    """Return all slot pools of a manager of any backend."""
    pool = getattr(manager, "pool", None)
    slot_pools = [manager.opening.turn]
    if hasattr(manager, "workers"):
        slot_pools.append(manager.workers.slots)
    if pool is not None:
        slot_pools += [pool.slots] if hasattr(pool, "slots") else [each.slots for each in pool.pools.values()]
        if getattr(pool, "writers", None) is not None:
            slot_pools.append(pool.writers.leading)
    return slot_pools


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
        except (TimeLimitError, Stop, TimeoutError):  # the signal arrived between two calls
            continue
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    end = time.monotonic() + 10
    while any(slots.free != slots.number for slots in slot_pools_of(manager)) and time.monotonic() < end:
        time.sleep(0.01)
    for slots in slot_pools_of(manager):
        assert slots.free == slots.number, (slots.free, slots.number)
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
