"""KEEP-04 and LIFE-02: pruning that races updates, ends, creates and reads."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Final

from module_sdk_contract.data.reference import ACTIVE
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import race, raise_first
from module_sdk_contract.violations import ContractViolation, demand

ENDING: Final = 24
LIVE: Final = 6
PATIENCE_SECONDS: Final = 1.0


class PruneRace:
    """Three writers, two pruners and a reader of one store, and what the store acknowledged to them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.managers = store.some_managers(4)
        self.live = [store.given(task_key=f"live:{n}", status=ACTIVE[n % 2])["id"] for n in range(LIVE)]
        self.ending = [store.given(task_key=f"ending:{n}", status="running")["id"] for n in range(ENDING)]
        self.new = [store.fields(task_key=f"new:{n}") for n in range(200)]
        self.done = threading.Event()
        self.removed: list[int] = []
        self.ended: list[str] = []
        self.passes = 0
        self.labels: dict[str, str] = {}
        self.submitted: list[str] = []

    def run(self) -> list[Exception | None]:
        return race(
            [
                self.end_tasks,
                self.update_live_tasks,
                self.create_tasks,
                self.read_ended_tasks,
                self.prune_repeatedly,
                self.prune_repeatedly,
            ]
        )

    def end_tasks(self) -> None:
        """End one task after another, with a prune and a pass of the reader between any two."""
        manager = self.managers[-1]
        try:
            for task_id in self.ending:
                prunes, passes, until = len(self.removed), self.passes, time.monotonic() + PATIENCE_SECONDS
                manager.update(task_id, progress=0.5)
                self.ended.append(task_id)
                manager.update(task_id, status="completed", result={"of": task_id})
                while (len(self.removed) == prunes or self.passes == passes) and time.monotonic() < until:
                    time.sleep(0.0005)
        finally:
            self.done.set()

    def update_live_tasks(self) -> None:
        for number in itertools.count():
            for task_id in self.live:
                if self.managers[0].update(task_id, label=str(number)) is None:
                    raise LookupError(f"the live task {task_id} is gone")
                self.labels[task_id] = str(number)
            if self.done.is_set():
                return

    def create_tasks(self) -> None:
        for fields in itertools.takewhile(lambda _: not self.done.is_set(), self.new):
            self.managers[1 % len(self.managers)].create(task_of(fields))
            self.submitted.append(fields["id"])
            time.sleep(0.001)

    def read_ended_tasks(self) -> None:
        """Read each ended task until it is pruned; as long as it exists it must be whole."""
        reader = self.managers[-2 % len(self.managers)]
        while not self.done.is_set():
            for task_id in list(self.ended):
                task = reader.get(task_id)
                if task is None:
                    self.ended.remove(task_id)
                elif task.status == "completed":
                    found = (task.result, task.finished_at)
                    demand("LIFE-02", "an ended task that is not pruned yet", ({"of": task_id}, task.updated_at), found)
            self.passes += 1
            if not self.ended:
                self.done.wait(0.0005)

    def prune_repeatedly(self) -> None:
        while not self.done.is_set():
            self.store.clock.advance(1)
            self.removed.append(self.managers[len(self.managers) // 2].prune(0, batch_size=3))


class KeepRaces:
    @tier("core")
    @clause("KEEP-04", "LIFE-02")
    def test_prune_never_removes_a_live_task_or_what_is_written_to_it(self, store: Store) -> None:
        racing = PruneRace(store)
        store.clock.advance(100)

        outcomes = racing.run()

        raise_first(outcome for outcome in outcomes if isinstance(outcome, ContractViolation))
        store.then_no_errors("KEEP-04", outcomes)

        store.clock.advance(1)
        removed = sum(racing.removed) + store.manager.prune(0)
        demand("KEEP-04", "how many tasks the prunes report as removed", ENDING, removed)
        left = {row["id"]: row["label"] for row in store.manager.list_user_tasks(1)}
        demand("KEEP-04", "the tasks that are left", sorted((*racing.live, *racing.submitted)), sorted(left))
        found = {task_id: left[task_id] for task_id in racing.labels}
        demand("KEEP-04", "the last label written to each live task", racing.labels, found)
