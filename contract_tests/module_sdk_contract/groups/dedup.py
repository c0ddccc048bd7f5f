"""DEDUP: one active task per organization and key. Races are in `dedup_races.py`."""

from __future__ import annotations

import pytest

from module_sdk.errors import TaskConflictError
from module_sdk_contract.data.reference import ACTIVE, ENDED
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import demand, demand_error

LOOK_ALIKE_KEYS = ("job", "Job", "job ", " job", "jöb", "jo\u0308b", "job\n", "ｊｏｂ", "JOB", "job\t", "jobs")


class DedupClauses:
    @clause("DEDUP-01")
    def test_creating_with_a_held_key_returns_the_holder_unchanged(self, store: Store) -> None:
        holder = store.given(task_key="job", label="first", checkpoint={"done": 3}, user_id=1)
        store.clock.advance(5)
        store.when_updated(holder["id"], status="running", progress=0.5)

        returned = store.given(task_key="job", label="second", checkpoint={"done": 0}, user_id=2, arguments=[1])

        assert returned["id"] == holder["id"]
        store.then_all_views()

    @clause("DEDUP-02")
    @pytest.mark.parametrize("status", ACTIVE)
    def test_an_active_task_holds_its_key(self, store: Store, status: str) -> None:
        created = store.given(task_key="created", status=status)
        moved = store.given(task_key="moved")
        if status != "pending":
            store.when_updated(moved["id"], status="running")
        if status == "waiting_confirmation":
            store.when_updated(moved["id"], status=status)

        assert store.given(task_key="created")["id"] == created["id"]
        assert store.given(task_key="moved")["id"] == moved["id"]
        store.then_all_views()

    @clause("DEDUP-02")
    @pytest.mark.parametrize("ended", ENDED)
    def test_an_ended_task_frees_its_key(self, store: Store, ended: str) -> None:
        store.given(task_key="created", status=ended)
        moved = store.given(task_key="moved")
        store.when_updated(moved["id"], status="running")
        store.when_updated(moved["id"], status=ended)

        for key in ("created", "moved"):
            store.given(task_key=key)
            assert len(store.then_key(key)) == 2
            store.given(task_key=key)
            assert len(store.then_key(key)) == 2

    @clause("DEDUP-02")
    def test_a_key_can_be_used_many_times_over(self, store: Store) -> None:
        for ended in (*ENDED, *ENDED):
            task = store.given(task_key="job")
            store.when_updated(task["id"], status="running")
            store.when_updated(task["id"], status=ended)

        assert len(store.then_key("job")) == 6

    @clause("DEDUP-03")
    def test_tasks_without_a_key_never_merge(self, store: Store) -> None:
        for key in (None, "", None, ""):
            store.given(task_key=key)
            store.given(task_key=key, organization_id=2)

        assert len(store.then_user(1)) == 4
        assert len(store.then_user(1, 2)) == 4

    @clause("DEDUP-04")
    def test_look_alike_keys_do_not_hold_each_other(self, store: Store) -> None:
        for key in LOOK_ALIKE_KEYS:
            store.given(task_key=key)

        assert store.then_count() == len(LOOK_ALIKE_KEYS)

    @clause("DEDUP-09")
    def test_an_imported_active_record_with_a_held_key_is_refused(self, store: Store) -> None:
        store.given(task_key="held")
        store.given(task_key="free", status="completed")
        before, refused, after = (
            store.fields(task_key="before", status="running"),
            store.fields(task_key="held", status="running"),
            store.fields(task_key="after"),
        )
        batch = [task_of(fields) for fields in (before, refused, after)]

        demand_error("DEDUP-09", "import of a held key", TaskConflictError, store.manager.import_tasks, batch)

        store.reference.create(before)
        store.then_all_views()
        ended_or_free = [{"task_key": "held", "status": "failed"}, {"task_key": "free"}]
        store.given_imported(ended_or_free)
        store.then_all_views()

    @clause("DEDUP-09")
    def test_an_import_refuses_two_holders_of_one_key(self, store: Store) -> None:
        """Neither holder is an existing task, and the records before the second holder are stored whole."""
        store.given(organization_id=2, task_key="job")
        first, ended, refused = (
            store.fields(task_key="job", status="running", checkpoint=["first"], arguments=[1], function="f"),
            store.fields(task_key="job", status="failed", error="E: ended"),
            store.fields(task_key="job", checkpoint=["refused"]),
        )
        batch = [task_of(fields) for fields in (first, ended, refused)]

        demand_error("DEDUP-09", "import of two holders", TaskConflictError, store.manager.import_tasks, batch)

        for fields in (first, ended):
            store.reference.create(fields)
        store.then_all_views()
        found = store.manager.get(first["id"])
        demand("DEDUP-09", "the first holder", task_of(first), found)

    @clause("DEDUP-09")
    def test_an_import_writes_nothing_after_a_held_key(self, store: Store) -> None:
        """The import is so long that its later records belong to later batches."""
        store.given(task_key="held")
        tasks = [store.fields(task_key=f"job:{number}", status="failed") for number in range(700)]
        tasks[20] |= {"task_key": "held", "status": "running"}

        demand_error(
            "DEDUP-09", "a long import", TaskConflictError, store.manager.import_tasks, list(map(task_of, tasks))
        )

        for fields in tasks[:20]:
            store.reference.create(fields)
        store.then_all_views()

    @clause("DEDUP-09")
    def test_an_import_can_be_run_again(self, store: Store) -> None:
        tasks = [store.fields(task_key=f"job:{index}", status="running") for index in range(5)]
        for fields in tasks:
            store.reference.create(fields)

        demand("DEDUP-09", "the first import of 5", 5, store.manager.import_tasks(map(task_of, tasks)))
        store.when_updated(tasks[2]["id"], label="changed since", checkpoint=[1])
        store.when_updated(tasks[4]["id"], status="completed")
        # An existing id is skipped, even if another task holds its key by now.
        store.given(task_key="job:4")
        demand("DEDUP-09", "the second import of the same 5", 0, store.manager.import_tasks(map(task_of, tasks)))
        twice = store.fields(task_key="twice")
        store.reference.create(twice)
        batch = [task_of({**twice, "label": label}) for label in ("Background Task", "again")]
        demand("DEDUP-09", "an import of one id twice", 1, store.manager.import_tasks(batch))

        store.then_all_views()
        assert store.given(task_key="job:3")["id"] == tasks[3]["id"]

    @clause("DEDUP-10")
    def test_an_interrupted_or_pruned_holder_frees_its_key(self, store: Store) -> None:
        for key in ("interrupted", "pruned"):
            store.when_updated(store.given(task_key=key)["id"], status="interrupted")
        store.clock.advance(100)
        store.given(task_key="interrupted")
        demand("DEDUP-10", "prune(50)", store.reference.prune(store.clock() - 50_000_000), store.manager.prune(50))

        store.given(task_key="pruned")

        assert len(store.then_key("interrupted")) == 1
        assert len(store.then_key("pruned")) == 1

    @clause("DEDUP-11")
    def test_creating_again_with_the_same_id_returns_the_same_task(self, store: Store) -> None:
        fields = store.fields(task_key="job", label="first", checkpoint=[1])
        for _ in range(2):
            store.create_again(fields)
        store.when_updated(fields["id"], status="running", progress=0.5)
        store.create_again(fields)
        store.when_updated(fields["id"], status="completed", result=1)

        store.create_again(fields)
        # The answer stays the same after another task has taken the key.
        store.given(task_key="job")
        store.create_again(fields)

        assert len(store.then_key("job")) == 2
        store.then_all_views()

    @clause("DEDUP-02", "DEDUP-11")
    def test_a_create_that_met_a_holder_leaves_nothing_behind(self, store: Store) -> None:
        holder = store.given(task_key="job")
        fields = store.fields(task_key="job", checkpoint=["not stored"], arguments=[1])
        for _ in range(2):
            store.create_again(fields)
        store.when_updated(holder["id"], status="failed")

        store.create_again(fields)

        store.then_all_views()

    @clause("DEDUP-11")
    def test_the_id_of_another_task_is_refused(self, store: Store) -> None:
        first = store.fields(task_key="job")
        store.create_again(first)

        for change in ({"organization_id": 2}, {"user_id": 2}, {"task_key": "other"}, {"task_key": None}):
            other = task_of({**first, **change})
            asked = f"create with the id of another and {change}"
            demand_error("DEDUP-11", asked, TaskConflictError, store.manager.create, other)

        store.then_all_views()
