"""SEE: visibility and durability."""

from __future__ import annotations

import functools
import os
import time
from typing import Any, Final

import pytest

from module_sdk import tasks
from module_sdk.backends import ConfigurationError, TaskManager
from module_sdk_contract.data.reference import ENDED, STATUSES, Fields
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import race
from module_sdk_contract.report.verdicts import NotApplicable
from module_sdk_contract.violations import demand, demand_error

# The last write before the process is killed; the empty change means the create itself.
LAST_CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"progress": 0.5},
    {"label": "changed"},
    {"checkpoint": [1]},
)


class SeeClauses:
    @clause("SEE-01")
    def test_a_writer_reads_its_own_writes(self, store: Store) -> None:
        task = store.given(task_key="job", organization_id=1)
        for changes in (
            {"status": "running"},
            {"progress": 0.5, "label": "half"},
            {"status": "completed", "result": 1},
        ):
            store.when_updated(task["id"], **changes)

            store.then_key("job", 1)
            store.then_prefix("", 1)
            store.then_user(1, 1)
            store.then_view(task["id"])
            store.then_page({"status": task["status"]}, organization_id=1)
            store.then_count({"status": task["status"]}, organization_id=1)

    @clause("SEE-02")
    def test_a_second_manager_sees_writes_at_once(self, store: Store) -> None:
        reader = store.open()
        demand("SEE-02", "an empty store", [], reader.list_user_tasks(1))
        new_fields = store.fields(task_key="job")
        demand("SEE-02", "an unknown task", None, reader.get(new_fields["id"]))
        demand("SEE-02", "a page and a count of an empty store", ([], 0), (list(reader.page()), reader.count()))
        store.create_again(new_fields)
        task = store.reference.tasks[0]
        store.then_view(task["id"], reader)
        demand("SEE-02", "after create", store.then_user(1), reader.list_user_tasks(1))
        for changes in ({"status": "running"}, {"progress": 0.5}, {"status": "completed", "result": [1]}):
            store.when_updated(task["id"], **changes)

            demand("SEE-02", f"by key after {changes}", store.then_key("job"), reader.get_tasks_by_key("job"))
            demand("SEE-02", f"by prefix after {changes}", store.then_key("job"), reader.get_tasks_by_key_prefix("j"))
            store.then_view(task["id"], reader)
            demand("SEE-02", f"page after {changes}", store.then_page(), reader.page())
            demand("SEE-02", f"count after {changes}", 1, reader.count(filters={"status": task["status"]}))
        store.given_imported([{"task_key": "job", "status": "failed"}])
        demand("SEE-02", "after import", store.then_key("job"), reader.get_tasks_by_key("job"))
        store.clock.advance(100)
        demand("SEE-02", "prune", store.reference.prune(store.clock()), store.manager.prune(0))
        demand("SEE-02", "after prune", [], reader.get_tasks_by_key("job"))
        demand("SEE-02", "count after prune", 0, reader.count())

    @tier("core")
    @clause("SEE-03")
    def test_a_process_that_was_reading_sees_later_writes(self, store: Store) -> None:
        worker = store.spawn()
        look = functools.partial(worker.ask, "look", operation="get_tasks_by_key", argument="job")
        demand("SEE-03", "before the first write", [], look())
        for number in range(5):
            task = store.given(task_key="job", created_at=store.clock() + number)
            demand("SEE-03", "after create", store.then_key("job"), look())
            store.when_updated(task["id"], status="running", progress=0.5)
            demand("SEE-03", "after update", store.then_key("job"), look())
            store.when_updated(task["id"], status="completed")
            demand("SEE-03", "after the end", store.then_key("job"), look())

    @clause("SEE-04")
    def test_closing_and_opening_again_keeps_everything(self, store: Store) -> None:
        for status in STATUSES:
            task = store.given(task_key=f"job:{status}", status=status, checkpoint={"a": [1.0, 2**70]}, arguments=[1])
            if status == "running":
                store.when_updated(task["id"], progress=0.5, label="é😀")
        store.given_imported([{"task_key": "imported", "result": [True, 1], "status": "completed"}])

        store.reopen()

        store.then_all_views()
        assert len(store.then_prefix("")) == len(STATUSES) + 1
        store.then_user(1)
        store.then_key("imported")
        store.then_page({"user_id": 1})
        for task in store.reference.tasks:
            found = store.manager.get(task["id"])
            demand("SEE-04", f"arguments of {task['id']}", task["arguments"], found and found.arguments)
        for status in STATUSES:
            store.given(task_key=f"job:{status}")
        assert len(store.then_prefix("")) == len(STATUSES) + 1 + len(ENDED)

    @tier("core")
    @clause("SEE-04")
    def test_the_next_process_finds_everything_that_a_killed_one_wrote(self, store: Store) -> None:
        # A durable store that is not shared allows only one process at a time.
        store.manager.close()
        writer = Writer(store)
        writer.read_acknowledgements(20)

        writer.worker.kill()

        then_nothing_is_lost(store, writer)

    @tier("core")
    @clause("SEE-04")
    def test_the_last_change_outlives_its_process(self, store: Store) -> None:
        store.manager.close()
        for changes in LAST_CHANGES:
            worker = store.spawn()
            fields = store.fields(status="running")
            worker.ask("create", tasks=[fields])
            if changes:
                worker.ask("update", task_id=fields["id"], changes=changes)

            worker.kill()

            reader = store.open()
            found = reader.get(fields["id"])
            demand("SEE-04", "whether the last new task exists", True, found is not None)
            demand("SEE-04", "the last change", changes, {name: getattr(found, name, None) for name in changes})
            reader.close()

    @tier("core")
    @clause("SEE-05")
    @pytest.mark.parametrize("acknowledgements", [1, 10, 50, 76, 100, 131])
    def test_a_killed_writer_loses_nothing(self, store: Store, acknowledgements: int) -> None:
        writer = Writer(store)
        writer.read_acknowledgements(acknowledgements)

        # Right after an acknowledgement no write is in progress yet, so wait until one may be.
        time.sleep(acknowledgements % 13 / 1_000)
        writer.worker.kill()

        then_nothing_is_lost(store, writer)

    @tier("core")
    @clause("SEE-08")
    def test_a_killed_server_loses_nothing(self, store: Store) -> None:
        store.need("durable")
        writer = Writer(store)
        writer.read_acknowledgements(40)

        store.contract.restart_server(store)

        # The manager that was already open must recover by itself, before a new manager opens the store.
        until = time.monotonic() + 5
        while (answer := tasks.list_user_tasks(1)).error is not None and time.monotonic() < until:
            time.sleep(0.01)
        demand("SEE-08", "the error of a manager that was open before", None, answer.error)
        demand("SEE-08", "whether that manager can write", True, store.creates_a_task("job:after the restart"))
        then_nothing_is_lost(store, writer)

    @clause("SEE-06")
    def test_a_newer_store_is_refused(self, store: Store) -> None:
        store.given(task_key="job")
        store.contract.write_newer_schema(store)

        reader = store.open()
        error = demand_error("SEE-06", "a lookup in a newer store", ConfigurationError, reader.get_tasks_by_key, "job")

        demand("SEE-06", f"the error says what to do: {error}", True, "upgrade" in str(error))
        demand_error("SEE-06", "a write to a newer store", ConfigurationError, reader.create, task_of(store.fields()))
        demand_error("SEE-06", "setup of a newer store", ConfigurationError, reader.setup)

    @tier("core")
    @clause("SEE-07")
    def test_one_manager_serves_many_threads(self, store: Store) -> None:
        def work(user: int) -> list[str]:
            for fields in batches[user]:
                store.manager.create(task_of(fields))
                store.manager.update(fields["id"], status="running", progress=0.5, checkpoint=[user])
                store.manager.get_tasks_by_key_prefix("job")
                store.manager.update(fields["id"], status="completed")
            return [row["id"] for row in store.manager.list_user_tasks(user)]

        batches = [[store.fields(user_id=user, task_key=f"job:{user}:{n}") for n in range(5)] for user in range(16)]
        outcomes = store.then_no_errors("SEE-07", race([functools.partial(work, user) for user in range(16)]))

        for user, ids in enumerate(outcomes):
            expected = sorted((fields["id"] for fields in batches[user]), reverse=True)
            demand("SEE-07", f"the tasks of user {user}", expected, ids)
        demand("SEE-07", "how many completed", 80, store.manager.count(filters={"status": "completed"}))

    @tier("core")
    @clause("SEE-07")
    def test_a_manager_survives_fork(self, store: Store) -> None:
        if not hasattr(os, "fork"):
            raise NotApplicable("this system has no fork")

        # A store that is not `shared` may allow only one process at a time, here the one that forks.
        store.manager.close()
        answer = store.spawn().ask("fork", forks=5, seconds=1)

        demand("SEE-07", "a manager in a forked child, while other threads used it in the parent", "", answer["child"])
        demand("SEE-07", "the manager in the parent, during and after the forks", "", answer["parent"])


class Writer:
    """A process that creates, starts and completes tasks, and reports each acknowledgement."""

    def __init__(self, store: Store) -> None:
        self.clause = store.clauses[0]
        self.tasks = [store.fields(task_key=f"job:{number}", checkpoint={"n": number}) for number in range(1_000)]
        self.acknowledged: dict[str, str] = {}
        """The last acknowledged state of each task, by id."""
        self.worker = store.spawn()
        self.worker.start("flood", tasks=self.tasks)

    def read_acknowledgements(self, acknowledgements: int) -> None:
        for _ in range(acknowledgements):
            line = self.worker.read()
            demand(self.clause, f"the writer reports an acknowledgement, not {line!r}", True, isinstance(line, list))
            self.acknowledged[line[1]] = line[0]

    def read_to_the_end(self) -> None:
        """Read the remaining acknowledgements until the writer fails or is done."""
        while isinstance(line := self.worker.read(), list):
            self.acknowledged[line[1]] = line[0]


def then_nothing_is_lost(store: Store, writer: Writer) -> None:
    """Demand that every acknowledged write is stored, and that every stored task is whole."""
    writer.read_to_the_end()
    reader = store.open()
    found = {row["id"]: row for row in reader.get_tasks_by_key_prefix("job:")}
    demand(writer.clause, "how many are counted", len(found), reader.count())
    states = ("created", "running", "completed")
    for task_id, state in writer.acknowledged.items():
        status = found[task_id]["status"] if task_id in found else None
        allowed = ("pending", "running", "completed")[states.index(state) :]
        demand(writer.clause, f"{task_id} was acknowledged as {state} and is {status}", True, status in allowed)
    then_tasks_are_complete(writer.clause, reader, writer.tasks, found)


def then_tasks_are_complete(clause_id: str, reader: TaskManager, tasks: list[Fields], found: dict[str, Any]) -> None:
    """Demand that each task has all fields and indexes or is absent, and that active ones have their keys."""
    for fields in tasks[: len(found) + 2]:
        task = reader.get(fields["id"])
        present = task is not None
        by_key = [row["id"] for row in reader.get_tasks_by_key(fields["task_key"])]
        demand(clause_id, f"{fields['id']} in the list and by id", fields["id"] in found, present)
        demand(clause_id, f"{fields['task_key']} by key", [fields["id"]] if present else [], by_key)
        if task is None:
            continue
        demand(clause_id, f"the checkpoint of {task.id}", fields["checkpoint"], task.checkpoint)
        if task.status == "completed":
            demand(clause_id, f"the result of {task.id}", {"of": task.id}, task.result)
        holder, created = reader.create(task_of({**fields, "id": fields["id"][:-12] + "f" * 12}))
        demand(clause_id, f"a new create of {fields['task_key']}, {task.status}", not task.is_active, created)
        demand(clause_id, "the holder", task.id if task.is_active else holder.id, holder.id)
    listed = {row["id"] for row in reader.list_user_tasks(1)}
    demand(clause_id, "tasks by key that the user's list lacks", [], sorted(found.keys() - listed))
