"""SEE-07 and LIFE-03, while others write: reads of other threads are whole, and of one moment."""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Callable
from typing import Any, Final

from module_sdk.backends import TaskManager
from module_sdk_contract.asking import LOOKUPS, argument_of
from module_sdk_contract.building import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.marks import clause, tier
from module_sdk_contract.races import race
from module_sdk_contract.violations import demand

STAYING: Final = 250
MOST_WRITES: Final = 2_000
READS_OF_EACH: Final = 8


class SeeRaces:
    @tier("core")
    @clause("SEE-07")
    def test_reads_are_whole_while_others_write(self, store: Store) -> None:
        """No read fails, no row comes twice, and none is missing of what was there before and is there after."""
        reader, writer = store.some_managers(2)[0], store.some_managers(2)[-1]
        store.given_imported({"task_key": f"stays:{number}", "status": "running"} for number in range(STAYING))
        staying = {task["id"] for task in store.reference.tasks}
        asks: list[Callable[[], Any]] = [
            functools.partial(reader.list_user_tasks, 1),
            functools.partial(reader.get_tasks_by_key_prefix, ""),
            functools.partial(reader.page, limit=1_000, sort="created_at"),
        ]
        reads: collections.Counter[int] = collections.Counter()

        def read(place: int) -> None:
            found = asks[place]()
            ids = [row["id"] for row in found]
            demand("SEE-07", "rows that come twice", len(set(ids)), len(ids))
            demand("SEE-07", "rows that are missing", set(), staying - set(ids))
            demand("SEE-07", "rows that cannot be read", 0, found.skipped)
            reads[place] += 1

        def count() -> None:
            demand("SEE-07", f"at least {STAYING} are counted", True, reader.count() >= STAYING)

        def write(number: int) -> bool:
            come_and_go(store, writer, number)
            return all(reads[place] >= READS_OF_EACH for place in range(len(asks)))

        readers: list[Callable[[], None]] = [functools.partial(read, place) for place in range(len(asks))]
        while_writing(write, [count, *readers])

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
    @clause("LIFE-03", "SEE-07")
    def test_a_task_is_never_read_half_changed(self, store: Store) -> None:
        reader, writer = store.some_managers(2)[0], store.some_managers(2)[-1]
        task_id = store.given(status="running", label="0", checkpoint=0)["id"]

        def write(number: int) -> bool:
            if number < 150:
                writer.update(task_id, label=str(number), checkpoint=number)
                return False
            writer.update(task_id, status="completed", result=[1])
            return True

        def read() -> None:
            task = reader.get(task_id)
            assert task is not None
            demand("LIFE-03", "label, checkpoint of one moment", task.label, str(task.checkpoint))
            demand("LIFE-03", "completed with its result", task.status == "completed", task.result == [1])

        while_writing(write, [read, read])

    @tier("core")
    @clause("SEE-07")
    def test_a_task_is_never_read_half_created(self, store: Store) -> None:
        reader, writer = store.some_managers(2)[0], store.some_managers(2)[-1]
        coming = [store.fields(checkpoint=[number]) for number in range(150)]
        written = 0

        def write(number: int) -> bool:
            nonlocal written
            written = number
            writer.create(task_of(coming[number]))
            return number + 1 == len(coming)

        def read() -> None:
            fields = coming[written]
            task = reader.get(fields["id"])
            if task is not None:
                demand("SEE-07", "the checkpoint of a task that is there", fields["checkpoint"], task.checkpoint)

        while_writing(write, [read, read])


def while_writing(write: Callable[[int], bool], readers: list[Callable[[], None]]) -> None:
    """`write(number)` with rising numbers until it says that this is enough, and each reader again and again meanwhile.

    Raises what one of them raised, and all end with the first that does.
    """
    done = threading.Event()

    def go_on_writing() -> None:
        try:
            for number in range(MOST_WRITES):
                if done.is_set() or write(number):
                    return
        finally:
            done.set()

    def go_on_reading(read: Callable[[], None]) -> None:
        try:
            while not done.is_set():
                read()
        finally:
            done.set()

    calls: list[Callable[[], None]] = [functools.partial(go_on_reading, read) for read in readers]
    for outcome in race([go_on_writing, *calls]):
        if isinstance(outcome, Exception):
            raise outcome


def come_and_go(store: Store, manager: TaskManager, number: int) -> None:
    """One more task that comes and ends; now and then what has ended goes."""
    fields = store.fields(task_key=f"comes:{number}")
    manager.create(task_of(fields))
    manager.update(fields["id"], status="failed")
    store.clock.advance(1)
    if number % 5 == 0:
        manager.prune(0)
