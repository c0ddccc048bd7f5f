"""KEEP: retention. Its race is in `retention_races.py`."""

from __future__ import annotations

from typing import Any, Final
from unittest import mock

import pytest

from module_sdk.errors import InvalidInputError
from module_sdk_contract.data.reference import ENDED, EVERYWHERE, STATUSES
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import demand, demand_error

SECOND: Final = 1_000_000
MORE_THAN_A_BATCH: Final = 1_100
"""More than any internal batch, such as 500 or 1,000."""


def when_pruned(store: Store, older_than_seconds: float, **arguments: Any) -> int:
    """Prune store and reference, demand the same number from both, and return it."""
    before = store.clock() - int(older_than_seconds * SECOND)
    scopes = {name: arguments.get(name, EVERYWHERE) for name in ("organization_id", "user_id")}
    expected = store.reference.prune(before, **scopes)
    demand(
        store.clauses[0],
        f"prune({older_than_seconds}, {arguments})",
        expected,
        store.manager.prune(older_than_seconds, **arguments),
    )
    return expected


class KeepClauses:
    @clause("KEEP-01")
    def test_prune_removes_only_old_ended_tasks(self, store: Store) -> None:
        now = store.clock()
        for status in STATUSES:
            for age in (99, 100, 101, 10_000):
                updated_at = now - age * SECOND
                store.given(
                    status=status, created_at=now - 20_000 * SECOND, updated_at=updated_at, task_key=f"{status}:{age}"
                )

        assert when_pruned(store, 100) == 2 * len(ENDED)

        store.then_all_views()
        store.then_prefix("")
        assert when_pruned(store, 100) == 0

    @clause("KEEP-01")
    def test_the_age_is_exact_to_the_microsecond(self, store: Store) -> None:
        now = store.clock()
        for distance in (-1, 0, 1):
            store.given(status="failed", created_at=0, updated_at=now - 100 * SECOND + distance)

        assert when_pruned(store, 100) == 1
        store.then_all_views()

    @clause("KEEP-01")
    def test_age_counts_from_the_last_change_and_from_no_other_time(self, store: Store) -> None:
        """In an imported task each other time may be older or newer than the last change, or absent."""
        now = store.clock()
        young, old, oldest = now - 50 * SECOND, now - 150 * SECOND, now - 10_000 * SECOND
        store.given_imported(
            {
                "status": status,
                "created_at": oldest,
                "started_at": started_at,
                "finished_at": finished_at,
                "updated_at": updated_at,
            }
            for status in ENDED
            for started_at in (None, old, young)
            for finished_at in (None, old, young)
            for updated_at in (old, young)
        )
        total = store.then_count()

        assert when_pruned(store, 100) == total // 2

        left = sorted(row["id"] for row in store.manager.page(limit=1_000))
        demand("KEEP-01", "the tasks that are left", sorted(task["id"] for task in store.reference.tasks), left)

    @clause("KEEP-01")
    def test_prune_obeys_organization_and_user(self, store: Store) -> None:
        for organization in (None, 1, "a", "A"):
            for user in (1, 2):
                store.given(status="completed", organization_id=organization, user_id=user)
        store.clock.advance(10)

        for arguments in (
            {"organization_id": None, "user_id": 2},
            {"organization_id": "a"},
            {"user_id": 1},
            {"organization_id": 9},
        ):
            when_pruned(store, 1, **arguments)
            store.then_all_views()
        assert store.then_count() > 0

    @clause("KEEP-01")
    def test_prune_tells_users_and_organizations_apart(self, store: Store) -> None:
        names = (1, 10, "01", "ann", "Ann", "ann ", "ann%", "an")
        for name in names:
            store.given(status="failed", user_id=name, organization_id=name)
        store.clock.advance(10)

        assert when_pruned(store, 1, user_id="an%") == 0
        assert when_pruned(store, 1, user_id=1) == 1
        assert when_pruned(store, 1, organization_id="ann") == 1
        assert when_pruned(store, 1, user_id="an", organization_id="an") == 1

        store.then_all_views()

    @clause("KEEP-01", "KEEP-03")
    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_small_batches_miss_nothing(self, store: Store, batch_size: int) -> None:
        """Older tasks that must stay use up no part of a batch."""
        for organization, user, status in (
            *((1, 1, "running"),) * 4,
            *((2, 1, "failed"),) * 4,
            *((1, 2, "failed"),) * 4,
            *((1, 1, "failed"),) * 4,
        ):
            store.given(organization_id=organization, user_id=user, status=status)
            store.clock.advance(1)

        assert when_pruned(store, 0, organization_id=1, user_id=1, batch_size=batch_size) == 4
        assert when_pruned(store, 0, batch_size=batch_size) == 8

        store.then_all_views()

    @tier("core")
    @clause("KEEP-01", "KEEP-05")
    def test_many_tasks_are_pruned_beside_many_that_stay(self, store: Store) -> None:
        """Tasks that are then imported with the pruned ids have nothing of the pruned ones."""
        store.given_imported(
            {"status": "running", "task_key": f"stays:{number}"} for number in range(MORE_THAN_A_BATCH)
        )
        store.clock.advance(1)
        gone = store.given_imported({"status": "failed", "checkpoint": ["gone"]} for _ in range(MORE_THAN_A_BATCH))
        store.clock.advance(10)

        assert when_pruned(store, 5, batch_size=10_000) == MORE_THAN_A_BATCH

        store.then_count()
        store.given_imported({"id": task["id"], "status": "failed"} for task in gone)
        for task in gone[::50]:
            store.then_view(task["id"])

    @clause("KEEP-01", "KEEP-03")
    def test_bad_arguments_are_refused(self, store: Store) -> None:
        store.given(status="completed")
        store.clock.advance(10)

        for wrong in (-1, float("nan"), "1", None, True):
            demand_error("KEEP-01", f"prune({wrong!r})", InvalidInputError, store.manager.prune, wrong)
        for scope in (True, 1.5, "", b"a"):
            asked = f"prune(1, organization_id={scope!r})"
            demand_error("KEEP-01", asked, InvalidInputError, store.manager.prune, 1, organization_id=scope)
        for size in (0, -1, 10_001, True, 1.5):
            asked = f"prune(1, batch_size={size!r})"
            demand_error("KEEP-03", asked, InvalidInputError, store.manager.prune, 1, batch_size=size)
        store.then_all_views()

    @clause("KEEP-02")
    def test_a_pruned_task_is_gone_everywhere(self, store: Store) -> None:
        kept = store.given(task_key="job", label="kept")
        store.when_updated(kept["id"], status="running")
        gone = [store.given(task_key=key, status=status)["id"] for key in ("job", "other") for status in ENDED]
        for task_id in gone:
            store.then_view(task_id)
        store.clock.advance(10)

        assert when_pruned(store, 5) == len(gone)

        for read in (store.then_key, store.then_prefix):
            assert [row["id"] for row in read("job")] == [kept["id"]]
            assert read("other") == []
        assert [row["id"] for row in store.then_user(1)] == [kept["id"]]
        for task_id in gone:
            store.then_view(task_id)
            demand("KEEP-02", f"update of the pruned {task_id}", None, store.manager.update(task_id, label="x"))
            store.then_count({"id": task_id})
        for status in STATUSES:
            store.then_page({"status": status})
        store.given(task_key="other")
        # Pruning ended runs of "job" must not free the key of the run that is still active.
        demand("KEEP-02", "the holder of the key of pruned runs", kept["id"], store.given(task_key="job")["id"])
        store.then_all_views()

    @clause("KEEP-03")
    @pytest.mark.parametrize("batch_size", [1, 7, 25, 26])
    def test_prune_runs_in_batches(self, store: Store, batch_size: int) -> None:
        store.given_imported({"status": ENDED[number % 3], "task_key": f"job:{number}"} for number in range(25))
        store.given(task_key="active")
        store.clock.advance(10)
        batches: list[int] = []
        prune_once = store.manager.store_prune

        def counted(*arguments: Any) -> int:
            removed = prune_once(*arguments)
            batches.append(removed)
            return removed

        with mock.patch.object(store.manager, "store_prune", counted):
            assert when_pruned(store, 5, batch_size=batch_size) == 25

        demand("KEEP-03", f"the largest of the batches {batches}", True, max(batches) <= batch_size)
        store.then_all_views()

    @clause("KEEP-05")
    def test_a_prune_leaves_no_trace_of_a_task(self, store: Store) -> None:
        kept = store.given(task_key="kept-key", user_id="kept-user", organization_id="kept-organization")
        fields = {"task_key": "gone-key", "user_id": "gone-user", "organization_id": "gone-organization"}
        gone = [
            store.given(**fields, checkpoint=["gone-payload"], arguments=["gone-payload"], function="gone-function")
        ]
        store.when_updated(gone[0]["id"], status="running", error="gone-error")
        store.when_updated(gone[0]["id"], status="completed", result="gone-payload")
        gone += [store.given(**fields, status=status, result="gone-payload") for status in ENDED]
        dump = store.dump()
        assert kept["id"] in dump
        assert gone[0]["id"] in dump
        store.clock.advance(10)

        when_pruned(store, 5)

        dump = store.dump()
        for trace in (*(task["id"] for task in gone), "gone-"):
            demand("KEEP-05", f"{trace} in the dump of the store", False, trace in dump)
        assert kept["id"] in dump
        holder = task_of(store.fields(**fields))
        demand("KEEP-05", "a new task with the pruned one's key", (holder, True), store.manager.create(holder))
