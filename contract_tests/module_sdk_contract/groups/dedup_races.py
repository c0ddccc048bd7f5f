"""DEDUP-05 to DEDUP-09: racing creates, imports and ends."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable

from module_sdk.backends import TaskManager, statuses
from module_sdk.domain.shapes import TaskStatus
from module_sdk.errors import TaskConflictError
from module_sdk_contract.data.reference import Fields
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import PATIENCE_SECONDS, History, Rounds, demand_overlaps, have_met, race
from module_sdk_contract.violations import demand

ROUNDS = 20
THREADS = 16
PROCESSES = 4


def create_and_read(manager: TaskManager, fields: Fields) -> tuple[str, bool, bool]:
    """Create a task; return its id, whether it is new, and whether it can be read and listed immediately."""
    task, created = manager.create(task_of(fields))
    listed = {row["id"] for row in manager.get_tasks_by_key(fields["task_key"])}
    return task.id, created, task.id in listed and manager.get(task.id) is not None


class DedupRaces:
    @clause("DEDUP-05", "DEDUP-07")
    def test_of_many_threads_one_creates(self, store: Store) -> None:
        managers = store.some_managers(4)
        rounds = Rounds(ROUNDS)
        for number in rounds:
            tasks = [store.fields(task_key=f"job:{number}") for _ in range(THREADS)]

            outcomes = rounds.race(
                [
                    functools.partial(create_and_read, manager, fields)
                    for manager, fields in zip(itertools.cycle(managers), tasks, strict=False)
                ]
            )

            answers = store.then_no_errors("DEDUP-05", outcomes)
            winners = [task_id for task_id, created, _ in answers if created]
            demand("DEDUP-05", f"{THREADS} threads create one key: how many created", 1, len(winners))
            demand("DEDUP-07", "each id can be read at once", {True}, {readable for _, _, readable in answers})
            demand("DEDUP-05", "the ids returned", {winners[0]}, {task_id for task_id, _, _ in answers})
            demand("DEDUP-05", "tasks of the key", 1, len(store.manager.get_tasks_by_key(f"job:{number}")))

    @tier("core")
    @clause("DEDUP-06")
    def test_of_many_processes_one_creates(self, store: Store) -> None:
        workers = [store.spawn() for _ in range(PROCESSES)]
        for worker in workers:
            worker.ask("look", operation="list_user_tasks", argument=1)
        overlaps, give_up = 0, time.monotonic() + PATIENCE_SECONDS

        for batch in itertools.count():
            if overlaps >= ROUNDS or time.monotonic() > give_up:
                break
            keys = [f"job:{batch}:{number}" for number in range(2 * ROUNDS)]
            start = time.time() + 0.1
            for worker in workers:
                worker.start("create", tasks=[store.fields(task_key=key) for key in keys], at=start)
            answers = [worker.answer() for worker in workers]

            for index, key in enumerate(keys):
                outcomes = [answer[index] for answer in answers]
                asked = f"{PROCESSES} processes create {key}"
                demand("DEDUP-06", f"{asked}: how many created", 1, sum(created for _, created, _ in outcomes))
                demand("DEDUP-06", f"the ids returned for {key}", 1, len({task_id for task_id, _, _ in outcomes}))
                demand("DEDUP-06", f"tasks of {key}", 1, len(store.manager.get_tasks_by_key(key)))
                overlaps += have_met([span for _, _, span in outcomes])
        demand_overlaps("processes met", ROUNDS, [overlaps])

    @tier("core")
    @clause("DEDUP-09")
    def test_racing_imports_and_creates_leave_one_active_task_of_a_key(self, store: Store) -> None:
        managers = store.some_managers(4)
        rounds = Rounds(ROUNDS)
        for number in rounds:
            keys = [f"job:{number}:{index}" for index in range(4)]
            batch = [task_of(store.fields(task_key=key, status="running")) for key in keys]
            rivals = [store.fields(task_key=keys[-1]) for _ in managers]
            calls: list[Callable[[], object]] = [functools.partial(each.import_tasks, batch) for each in managers * 2]
            calls += [functools.partial(create_and_read, *pair) for pair in zip(managers, rivals, strict=True)]

            # The last thread to reach the barrier mostly runs first, so the order alternates.
            outcomes = rounds.race(calls if number % 2 else calls[::-1])

            refused = [outcome for outcome in outcomes if isinstance(outcome, TaskConflictError)]
            store.then_no_errors("DEDUP-09", (outcome for outcome in outcomes if outcome not in refused))
            for key in keys:
                demand("DEDUP-09", f"tasks of {key}", 1, len(store.manager.get_tasks_by_key(key)))
            written = sum(outcome for outcome in outcomes if isinstance(outcome, int))
            asked = f"how many were written, {written}, unless one was refused"
            demand("DEDUP-09", asked, True, bool(refused) or written == 4)

    @tier("core")
    @clause("DEDUP-09")
    def test_racing_imports_of_one_batch_refuse_nothing(self, store: Store) -> None:
        """A record that a racing import has just written holds its own key, so it is not a conflict."""
        managers = store.some_managers(4)
        rounds = Rounds(ROUNDS)
        for number in rounds:
            batch = [task_of(store.fields(task_key=f"job:{number}:{index}")) for index in range(8)]

            outcomes = rounds.race([functools.partial(manager.import_tasks, batch) for manager in managers * 2])

            demand("DEDUP-09", "how many were written", len(batch), sum(store.then_no_errors("DEDUP-09", outcomes)))

    @tier("core")
    @clause("DEDUP-08")
    def test_racing_ends_and_creates_leave_one_active_task_of_a_key(self, store: Store) -> None:
        history = History()
        managers = store.some_managers(4)

        def create(manager: TaskManager, fields: Fields) -> tuple[str, bool]:
            task, created = manager.create(task_of(fields))
            return task.id, created

        def end(manager: TaskManager, task_id: str, status: TaskStatus) -> tuple[str, bool]:
            return task_id, manager.update(task_id, status=status) is not None

        def create_and_end_repeatedly(manager: TaskManager, tasks: list[Fields]) -> None:
            for fields, status in zip(tasks, itertools.cycle(statuses.FINAL), strict=False):
                task_id, created = history.record("create", functools.partial(create, manager, fields))
                if created:
                    manager.update(task_id, status="running")
                    history.record("end", functools.partial(end, manager, task_id, status))

        outcomes = race(
            [
                functools.partial(
                    create_and_end_repeatedly, manager, [store.fields(task_key="job") for _ in range(ROUNDS)]
                )
                for manager in itertools.islice(itertools.cycle(managers), 8)
            ]
        )

        store.then_no_errors("DEDUP-08", outcomes)
        demand("DEDUP-08", "pairs active at one instant", [], history.both_active())
        demand("DEDUP-08", "holders returned after their acknowledged end", [], history.ended_holders())
        created_ids = [event.task_id for event in history.events if event.kind == "create" and event.created]
        found = store.manager.get_tasks_by_key("job")
        demand("DEDUP-08", "the tasks of the key", sorted(created_ids), sorted(row["id"] for row in found))
