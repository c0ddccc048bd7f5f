"""DEDUP-08, LIFE-02, 03 and 07, SEE-07: what others see while tasks of one key come, change and end."""

from __future__ import annotations

import collections
import functools
import itertools
import threading
import time
from typing import Any, Final

from module_sdk.backends import Task, TaskManager
from module_sdk_contract.data.reference import ACTIVE, ENDED
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import PATIENCE_SECONDS, demand_overlaps, race, raise_first
from module_sdk_contract.violations import demand

KEY: Final = "life"
STEPS: Final = 3
WATCHERS: Final = 2
# How many reads of each watcher must meet a change, and how many ends must meet a create of the other thread.
READS: Final = 20
ENDS: Final = 12
# How many changes the follower of the newest task must see. It does nothing but get that task again, so a get in two
# steps meets most of them, however long a change takes.
FOLLOWED: Final = 40
# An end that is over so soon has nothing that a create of the other thread could meet.
BRIEF_SECONDS: Final = 0.001
LATEST: Final = 4
"""How many of the latest tasks are read by id."""


def step(number: int) -> dict[str, Any]:
    """What one update of a life sets."""
    return {"label": str(number), "checkpoint": {"n": number}, "progress": number / (STEPS + 1)}


def end_of(status: str, number: int) -> dict[str, Any]:
    """What an end sets beside the status."""
    if status == "completed":
        return {"result": {"n": number}}
    return {"error": f"ValueError: {number}" if status == "failed" else "cancelled"}


def outcome_of(task: Task) -> dict[str, Any]:
    """What goes with the status that the task has, and with the number that its label is."""
    number = int(task.label)
    return {
        "checkpoint": {"n": number},
        "progress": 1.0 if task.status == "completed" else number / (STEPS + 1),
        "confirmation": {"n": number} if task.status == "waiting_confirmation" else None,
        "result": None,
        "error": None,
        **(end_of(task.status, number) if task.status in ENDED else {}),
    }


class Lives:
    """Two threads that fight for one key, and watchers that look at it all the time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.managers = store.some_managers(4)
        self.done = threading.Event()
        # A scan that begins with the newest task does not come to one that was created meanwhile.
        self.moments = itertools.count(store.clock())
        self.latest: collections.deque[str] = collections.deque(maxlen=LATEST)
        """Ids that may be created at this moment, or have been."""
        self.created: list[str] = []
        """Ids whose creation was acknowledged."""
        self.ended: dict[str, Task] = {}
        """Tasks that somebody has seen ended, as they were then."""
        self.changes = 0
        self.creates = 0
        self.met_creates = 0
        self.met_changes = [0] * WATCHERS
        self.followed = 0

    def run(self) -> None:
        racers = [functools.partial(self.go_on, self.managers[place % len(self.managers)], place) for place in range(2)]
        watchers = [functools.partial(self.watch, place) for place in range(WATCHERS)]
        raise_first(race([*racers, *watchers, functools.partial(self.follow, self.managers[-1])]))
        demand_overlaps("a watcher's read met a change", READS, self.met_changes)
        demand_overlaps("a task that is read again and again had changed", FOLLOWED, [self.followed])
        demand_overlaps("an end met a create", ENDS, [self.met_creates])

    def is_enough(self) -> bool:
        return min(self.met_changes) >= READS and self.followed >= FOLLOWED and self.met_creates >= ENDS

    # --- The racers -------------------------------------------------------------------------------------------------

    def go_on(self, manager: TaskManager, place: int) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        try:
            for status in itertools.cycle(ENDED[place:] + ENDED[:place]):
                while not self.done.is_set() and not self.live(manager, status):
                    if time.monotonic() > until:
                        self.done.set()
                if self.done.is_set() or self.is_enough():
                    return
        finally:
            self.done.set()

    def live(self, manager: TaskManager, ended: str) -> bool:
        """Create a task, lead it through every state, and end it; false where the other thread's task is active."""
        fields = self.store.fields(task_key=KEY, created_at=next(self.moments), **step(0))
        self.latest.append(fields["id"])
        task, created = manager.create(task_of(fields))
        self.creates += 1
        if not created:
            demand("DEDUP-08", f"a holder that a create returns is active, not {task.status}", True, task.is_active)
            return False
        self.created.append(task.id)
        self.changes += 1
        # The other thread's task may be ending at this moment, while this one is active already.
        self.look(manager)
        self.change(manager, task.id, status="running")
        for number in range(1, STEPS):
            self.change(manager, task.id, **step(number))
        self.change(manager, task.id, status="waiting_confirmation", confirmation={"n": number})
        self.change(manager, task.id, status="running")
        creates, began = self.creates, time.perf_counter()
        self.change(manager, task.id, status=ended, **end_of(ended, number))
        self.met_creates += self.creates != creates or time.perf_counter() - began < BRIEF_SECONDS
        return True

    def change(self, manager: TaskManager, task_id: str, **changes: Any) -> None:
        manager.update(task_id, **changes)
        self.changes += 1

    # --- The watchers -----------------------------------------------------------------------------------------------

    def watch(self, place: int) -> None:
        reader = self.managers[-1 - place % len(self.managers)]
        try:
            while not self.done.is_set():
                changes = self.changes
                self.look(reader)
                self.met_changes[place] += self.changes != changes
        finally:
            self.done.set()

    def follow(self, reader: TaskManager) -> None:
        """Get the newest task again and again."""
        earlier: Task | None = None
        try:
            while not self.done.is_set():
                task = reader.get(self.created[-1]) if self.created else None
                if task is not None:
                    self.then_whole(task)
                    self.followed += earlier is not None and earlier != task
                earlier = task
        finally:
            self.done.set()

    def look(self, reader: TaskManager) -> None:
        created = set(self.created)
        for asked, rows in (
            ("get_tasks_by_key", reader.get_tasks_by_key(KEY)),
            ("list_user_tasks", reader.list_user_tasks(1)),
        ):
            active = [row["id"] for row in rows if row["status"] in ACTIVE]
            demand("DEDUP-08", f"{asked}: active tasks of the key, {active}, are one at most", True, len(active) <= 1)
            ids = [row["id"] for row in rows]
            demand("SEE-07", f"{asked}: different rows", len(ids), len(set(ids)))
            demand("SEE-07", f"{asked}: tasks that are missing", set(), created - set(ids))
            for row in rows[:LATEST]:
                at = 1.0 if row["status"] == "completed" else int(row["label"]) / (STEPS + 1)
                demand("LIFE-03", f"{asked}: progress of a {row['status']} task", at, row["progress"])
        for task_id in list(self.latest):
            was_created = task_id in self.created
            task = reader.get(task_id)
            if task is None:
                demand("SEE-07", f"get of {task_id}, which was created before", False, was_created)
            else:
                self.then_whole(task)

    def then_whole(self, task: Task) -> None:
        """The state that was read is one that the task really had, with all that belongs to it."""
        expected = outcome_of(task)
        found = {name: getattr(task, name) for name in expected}
        demand("LIFE-03", f"what a {task.status} task labelled {task.label} has", expected, found)
        ended_at = task.updated_at if task.status in ENDED else None
        demand("LIFE-07", f"finished_at of a {task.status} task", ended_at, task.finished_at)
        has_begun = task.status != "pending"
        demand("LIFE-07", f"a {task.status} task has started_at", has_begun, task.started_at is not None)
        if task.status in ENDED:
            demand("LIFE-02", "an ended task, read again", self.ended.setdefault(task.id, task), task)


class WatchedRaces:
    @tier("core")
    @clause("DEDUP-08", "LIFE-02", "LIFE-03", "LIFE-07", "SEE-07")
    def test_nobody_sees_two_active_tasks_of_a_key_or_half_a_change(self, store: Store) -> None:
        Lives(store).run()
