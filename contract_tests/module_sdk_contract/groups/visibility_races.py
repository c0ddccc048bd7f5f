"""SEE-07: reads are whole, and of one moment, while other threads write."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from module_sdk.backends import TaskManager
from module_sdk_contract.calls import LOOKUPS, argument_of
from module_sdk_contract.data.reference import Fields
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import race, while_writing
from module_sdk_contract.violations import demand

KEPT_TASKS: Final = 250
OVERLAPS: Final = 15
LIFETIME_SECONDS: Final = 4
"""How long a task is kept after its end, on a clock that advances one second per task."""


class SeeRaces:
    @tier("core")
    @clause("SEE-07")
    def test_reads_are_whole_while_others_write(self, store: Store) -> None:
        """No read fails, no row comes twice, and no task is missing that exists before and after the read."""
        reader, writer = store.some_managers(2)[0], store.some_managers(2)[-1]
        store.given_imported({"task_key": f"stays:{number}", "status": "running"} for number in range(KEPT_TASKS))
        in_order = [task["id"] for task in store.reference.tasks]
        kept = set(in_order)
        reads: list[Callable[[], Any]] = [
            functools.partial(reader.list_user_tasks, 1),
            functools.partial(reader.get_tasks_by_key_prefix, ""),
            functools.partial(reader.page, limit=1_000, sort="created_at"),
        ]

        def read(index: int) -> None:
            found = reads[index]()
            ids = [row["id"] for row in found]
            demand("SEE-07", "rows that come twice", len(set(ids)), len(ids))
            demand("SEE-07", "rows that are missing", set(), kept - set(ids))
            demand("SEE-07", "rows that cannot be read", 0, found.skipped)

        def count() -> None:
            demand("SEE-07", f"at least {KEPT_TASKS} are counted", True, reader.count() >= KEPT_TASKS)

        def write(number: int) -> None:
            writer.update(in_order[number % KEPT_TASKS], progress=number % 100 / 100)
            create_and_prune(store, writer, number)

        readers: list[Callable[[], None]] = [functools.partial(read, index) for index in range(len(reads))]
        while_writing(write, [count, *readers], overlaps=OVERLAPS)

    @tier("core")
    @clause("SEE-07", "SEE-01")
    def test_a_thread_sees_at_once_what_another_wrote(self, store: Store) -> None:
        for number in range(5):
            for operation in LOOKUPS:
                demand("SEE-07", operation, number, len(getattr(store.manager, operation)(argument_of(operation))))
            fields = store.fields(task_key="job:1", status="completed")
            race([functools.partial(store.manager.create, task_of(fields))])
            demand("SEE-07", "the task that another thread made", True, store.manager.get(fields["id"]) is not None)

    @tier("core")
    @clause("SEE-07")
    def test_a_task_is_never_read_half_created(self, store: Store) -> None:
        reader, writer = store.some_managers(2)[0], store.some_managers(2)[-1]
        new_tasks: list[Fields] = []

        def write(number: int) -> None:
            new_tasks.append(store.fields(checkpoint=[number]))
            writer.create(task_of(new_tasks[-1]))

        def read() -> None:
            for fields in new_tasks[-1:]:
                task = reader.get(fields["id"])
                if task is not None:
                    demand("SEE-07", "the checkpoint of a task that exists", fields["checkpoint"], task.checkpoint)

        while_writing(write, [read, read], overlaps=2 * OVERLAPS)


def create_and_prune(store: Store, manager: TaskManager, number: int) -> None:
    """Create and end one more task, and prune an earlier one that others may be reading."""
    fields = store.fields(task_key=f"comes:{number}")
    manager.create(task_of(fields))
    manager.update(fields["id"], status="failed")
    store.clock.advance(1)
    manager.prune(LIFETIME_SECONDS)
