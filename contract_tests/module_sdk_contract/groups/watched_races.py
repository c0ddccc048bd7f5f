"""DEDUP-08, LIFE-02, LIFE-03, LIFE-07, SEE-07: concurrent reads while tasks of one key are created and end."""

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
# How many reads of each watcher must overlap a change, and how many ends must overlap a create of the other thread.
MINIMUM_READS: Final = 20
MINIMUM_ENDS: Final = 12
# How many changes the follower must see. It gets the newest task in a loop, so most changes fall between the two steps
# of a store that gets a task in two steps, however long a change takes.
MINIMUM_FOLLOWED: Final = 40
# An end this short gives the other thread no time for a create, so it counts as if one had overlapped.
BRIEF_SECONDS: Final = 0.001
LATEST_TASKS: Final = 4
"""How many of the latest tasks are read by id."""


def step(number: int) -> dict[str, Any]:
    """Return the fields that step `number` of a task sets."""
    return {"label": str(number), "checkpoint": {"n": number}, "progress": number / (STEPS + 1)}


def end_of(status: str, number: int) -> dict[str, Any]:
    """Return the fields that an end sets besides the status."""
    if status == "completed":
        return {"result": {"n": number}}
    return {"error": f"ValueError: {number}" if status == "failed" else "cancelled"}


def outcome_of(task: Task) -> dict[str, Any]:
    """Return the fields that a task must have, given its status and the step that its label names."""
    number = int(task.label)
    return {
        "checkpoint": {"n": number},
        "progress": 1.0 if task.status == "completed" else number / (STEPS + 1),
        "confirmation": {"n": number} if task.status == "waiting_confirmation" else None,
        "result": None,
        "error": None,
        **(end_of(task.status, number) if task.status in ENDED else {}),
    }


class ContestedKey:
    """Two threads that compete for one key, and watchers that read its tasks without a pause."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.managers = store.some_managers(4)
        self.done = threading.Event()
        # Creation times rise, so a scan that begins at the newest task never reaches one that is created later.
        self.moments = itertools.count(store.clock())
        self.latest: collections.deque[str] = collections.deque(maxlen=LATEST_TASKS)
        """Ids of tasks that have been created or are being created."""
        self.created: list[str] = []
        """Ids whose creation was acknowledged."""
        self.ended: dict[str, Task] = {}
        """Ended tasks as they were first read, by id."""
        self.changes = 0
        self.creates = 0
        self.overlapped_creates = 0
        self.overlapped_changes = [0] * WATCHERS
        self.followed = 0

    def run(self) -> None:
        racers = [
            functools.partial(self.compete, self.managers[index % len(self.managers)], index) for index in range(2)
        ]
        watchers = [functools.partial(self.watch, index) for index in range(WATCHERS)]
        raise_first(race([*racers, *watchers, functools.partial(self.follow, self.managers[-1])]))
        demand_overlaps("a watcher's read overlapped a change", MINIMUM_READS, self.overlapped_changes)
        demand_overlaps("a task that is read in a loop had changed", MINIMUM_FOLLOWED, [self.followed])
        demand_overlaps("an end overlapped a create", MINIMUM_ENDS, [self.overlapped_creates])

    def has_enough_overlaps(self) -> bool:
        is_watched = min(self.overlapped_changes) >= MINIMUM_READS and self.followed >= MINIMUM_FOLLOWED
        return is_watched and self.overlapped_creates >= MINIMUM_ENDS

    # --- The racers -------------------------------------------------------------------------------------------------

    def compete(self, manager: TaskManager, index: int) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        try:
            for status in itertools.cycle(ENDED[index:] + ENDED[:index]):
                while not self.done.is_set() and not self.run_task(manager, status):
                    if time.monotonic() > until:
                        self.done.set()
                if self.done.is_set() or self.has_enough_overlaps():
                    return
        finally:
            self.done.set()

    def run_task(self, manager: TaskManager, end_status: str) -> bool:
        """Create a task, move it through every state, and end it; return false if the other thread's task is active."""
        fields = self.store.fields(task_key=KEY, created_at=next(self.moments), **step(0))
        self.latest.append(fields["id"])
        task, created = manager.create(task_of(fields))
        self.creates += 1
        if not created:
            demand("DEDUP-08", f"a holder that a create returns is active, not {task.status}", True, task.is_active)
            return False
        self.created.append(task.id)
        self.changes += 1
        # The other thread's task may be ending at this moment, while this one is already active.
        self.read_and_check(manager)
        self.change(manager, task.id, status="running")
        for number in range(1, STEPS):
            self.change(manager, task.id, **step(number))
        self.change(manager, task.id, status="waiting_confirmation", confirmation={"n": number})
        self.change(manager, task.id, status="running")
        creates, began = self.creates, time.perf_counter()
        self.change(manager, task.id, status=end_status, **end_of(end_status, number))
        self.overlapped_creates += self.creates != creates or time.perf_counter() - began < BRIEF_SECONDS
        return True

    def change(self, manager: TaskManager, task_id: str, **changes: Any) -> None:
        manager.update(task_id, **changes)
        self.changes += 1

    # --- The watchers -----------------------------------------------------------------------------------------------

    def watch(self, index: int) -> None:
        reader = self.managers[-1 - index % len(self.managers)]
        try:
            while not self.done.is_set():
                changes = self.changes
                self.read_and_check(reader)
                self.overlapped_changes[index] += self.changes != changes
        finally:
            self.done.set()

    def follow(self, reader: TaskManager) -> None:
        """Get the newest task in a loop."""
        earlier: Task | None = None
        try:
            while not self.done.is_set():
                task = reader.get(self.created[-1]) if self.created else None
                if task is not None:
                    self.then_fields_are_of_one_state(task)
                    self.followed += earlier is not None and earlier != task
                earlier = task
        finally:
            self.done.set()

    def read_and_check(self, reader: TaskManager) -> None:
        created = set(self.created)
        for asked, rows in (
            ("get_tasks_by_key", reader.get_tasks_by_key(KEY)),
            ("list_user_tasks", reader.list_user_tasks(1)),
        ):
            active = [row["id"] for row in rows if row["status"] in ACTIVE]
            demand("DEDUP-08", f"{asked}: at most one task of the key is active, not {active}", True, len(active) <= 1)
            ids = [row["id"] for row in rows]
            demand("SEE-07", f"{asked}: different rows", len(ids), len(set(ids)))
            demand("SEE-07", f"{asked}: tasks that are missing", set(), created - set(ids))
            for row in rows[:LATEST_TASKS]:
                progress = 1.0 if row["status"] == "completed" else int(row["label"]) / (STEPS + 1)
                demand("LIFE-03", f"{asked}: progress of a {row['status']} task", progress, row["progress"])
        for task_id in list(self.latest):
            was_created = task_id in self.created
            task = reader.get(task_id)
            if task is None:
                demand("SEE-07", f"get of {task_id}, which was created before", False, was_created)
            else:
                self.then_fields_are_of_one_state(task)

    def then_fields_are_of_one_state(self, task: Task) -> None:
        """Demand that all fields that were read belong to one state of the task."""
        expected = outcome_of(task)
        found = {name: getattr(task, name) for name in expected}
        demand("LIFE-03", f"the fields of a {task.status} task labelled {task.label}", expected, found)
        ended_at = task.updated_at if task.status in ENDED else None
        demand("LIFE-07", f"finished_at of a {task.status} task", ended_at, task.finished_at)
        has_begun = task.status != "pending"
        demand("LIFE-07", f"a {task.status} task has started_at", has_begun, task.started_at is not None)
        if task.status in ENDED:
            demand("LIFE-02", "an ended task, read again", self.ended.setdefault(task.id, task), task)


class WatchedRaces:
    @tier("core")
    @clause("DEDUP-08", "LIFE-02", "LIFE-03", "LIFE-07", "SEE-07")
    def test_no_read_sees_two_active_tasks_of_a_key_or_half_a_change(self, store: Store) -> None:
        ContestedKey(store).run()
