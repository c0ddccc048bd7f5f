"""LIFE: the state machine. Races are in `lifecycle_races.py`."""

from __future__ import annotations

import itertools
from typing import Any, Final

from module_sdk.errors import IllegalTransitionError, InvalidInputError
from module_sdk_contract.calls import UNKNOWN_ID
from module_sdk_contract.data.reference import ACTIVE, ENDED, MOVES, STATUSES, Fields
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import demand, demand_error

CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {"progress": 0.7},
    {"label": "changed"},
    {"checkpoint": [9]},
    {"result": {"x": 1}},
    {"error": "E: changed"},
    {"confirmation": {"ok": True}},
    {"progress": 0.2, "label": "both", "checkpoint": None},
)


def then_refused(store: Store, task: Fields, **changes: Any) -> None:
    """Demand that the change raises `IllegalTransitionError` and that the task still reads as before."""
    asked = f"update of a task that is {task['status']}: {changes}"
    error = demand_error(store.clauses[0], asked, IllegalTransitionError, store.manager.update, task["id"], **changes)
    demand(store.clauses[0], f"{asked}: the error's status", task["status"], error.status)
    store.then_view(task["id"])


class LifeClauses:
    @clause("LIFE-01")
    def test_legal_moves_work_and_others_change_nothing(self, store: Store) -> None:
        for status, wanted in itertools.product(STATUSES, STATUSES):
            task = store.given(status=status, task_key=f"{status}>{wanted}", checkpoint=[1], progress=0.25)
            store.clock.advance(1)
            if wanted in MOVES.get(status, ()):
                store.when_updated(task["id"], status=wanted)
            else:
                then_refused(store, task, status=wanted, progress=0.9, label="no", error="no", result=1)

        store.then_all_views()
        store.then_prefix("")

    @clause("LIFE-02")
    def test_an_ended_task_never_changes(self, store: Store) -> None:
        for ended in ENDED:
            task = store.given(task_key=f"job:{ended}", label="kept", checkpoint=[1])
            store.when_updated(task["id"], status="running", progress=0.5)
            store.when_updated(task["id"], status=ended, error="E: kept", result=[1])
            store.clock.advance(1)

            for changes in CHANGES:
                then_refused(store, task, **changes)
            for status in STATUSES:
                then_refused(store, task, status=status, error="E: late", result=2)

    @clause("LIFE-04")
    def test_progress_is_clamped_and_may_go_down(self, store: Store) -> None:
        task = store.given(status="running")

        for value in (0.5, 0.2, 1.5, -0.5, 1, 0, 10**400, -(10**400), 1e308, -0.0):
            clamped = max(-1, min(2, value))
            expected = store.reference.update(task["id"], store.clock(), progress=clamped)
            row = store.manager.update(task["id"], progress=value)
            assert expected is not None
            assert row is not None
            demand("LIFE-04", f"progress after {str(value)[:20]}", expected["progress"], row["progress"])
        for wrong in (float("nan"), float("inf"), -float("inf"), True, "0.5", None):
            asked = f"update(progress={wrong!r})"
            demand_error("LIFE-04", asked, InvalidInputError, store.manager.update, task["id"], progress=wrong)
        store.then_view(task["id"])

    @clause("LIFE-05")
    def test_updated_at_rises_with_each_change(self, store: Store) -> None:
        task = store.given(status="pending")

        for step, changes in enumerate(({"status": "running"}, *CHANGES[:3], {"status": "completed"})):
            store.clock.advance((0, 5, -100, 0, -1_000_000)[step])
            store.when_updated(task["id"], **changes)

        store.then_view(task["id"])
        assert task["updated_at"] > task["created_at"]

    @clause("LIFE-05")
    def test_updated_at_rises_when_its_number_of_digits_changes(self, store: Store) -> None:
        """With its clock behind, the store must add one microsecond itself, also where the number of digits changes."""
        second = 1_000_000
        for stored in (-1, -2, -second, -second - 1, 999_999, 10**9 - 1, 4 * 10**15 - 1, 2**53 - 1, 2**53, 10**16 - 1):
            store.clock.now = stored - 5 * second
            task = store.given(status="running", created_at=stored - second, updated_at=stored)

            for changes in ({"progress": 0.5}, {"label": "changed"}, {"status": "completed"}):
                store.when_updated(task["id"], **changes)

        store.then_all_views()
        store.then_page()

    @clause("LIFE-06")
    def test_identity_fields_never_change(self, store: Store) -> None:
        fixed = {"user_id": "ann", "organization_id": 7, "task_key": "job", "module": "reports"}
        task = store.given(**fixed, arguments=[1], function="f")
        before = {name: task[name] for name in ("id", *fixed, "created_at", "function", "arguments")}

        for changes in ({"status": "running"}, *CHANGES, {"status": "waiting_confirmation"}, {"status": "failed"}):
            store.clock.advance(1)
            store.when_updated(task["id"], **changes)

        found = store.manager.get(task["id"])
        demand("LIFE-06", "the fields that never change", before, {name: getattr(found, name) for name in before})

    @clause("LIFE-07")
    def test_a_completed_task_has_progress_one_and_times_are_set_once(self, store: Store) -> None:
        task = store.given(progress=0.1)
        for status in ("running", "waiting_confirmation", "running", "completed"):
            store.clock.advance(7)
            store.when_updated(task["id"], status=status)
            store.then_view(task["id"])
        never_started = store.given()
        store.when_updated(never_started["id"], status="interrupted")
        low = store.given(status="running")
        store.when_updated(low["id"], status="completed", progress=0.3)

        store.then_all_views()
        assert task["progress"] == 1.0
        assert task["started_at"] < task["finished_at"]

    @clause("LIFE-08")
    def test_an_update_changes_only_what_it_names(self, store: Store) -> None:
        task = store.given(
            status="running", label="kept", checkpoint={"a": 1, "b": {"c": 2}}, result=[1], error="E: x", progress=0.25
        )

        payloads: tuple[dict[str, Any], ...] = (
            {"checkpoint": {"b": {"d": 3}}},
            {"checkpoint": {}},
            {"label": ""},
            {"error": None},
            {"checkpoint": [1], "error": "E: y"},
            {"checkpoint": [2], "error": None},
        )
        # A move to another status clears the confirmation, even if the same update sets other fields.
        moves: tuple[dict[str, Any], ...] = (
            {"status": "waiting_confirmation", "confirmation": {"ask": 1}},
            {"status": "running", "checkpoint": [3]},
            {"confirmation": {"ok": True}},
            {"status": "completed", "result": [2]},
        )
        for changes in (*CHANGES, *payloads, *moves):
            store.when_updated(task["id"], **changes)
            store.then_view(task["id"])

    @clause("LIFE-10")
    def test_an_update_of_an_unknown_task_creates_nothing(self, store: Store) -> None:
        store.given(organization_id=1)

        for task_id in (UNKNOWN_ID, "no id at all", "", "x" * 5_000, "\x00", UNKNOWN_ID.upper().replace("0", "A")):
            for changes in (*CHANGES, *({"status": status} for status in (*ACTIVE[1:], *ENDED))):
                demand(
                    "LIFE-10", f"update({task_id[:50]!r}, {changes})", None, store.manager.update(task_id, **changes)
                )

        store.then_all_views()
        assert store.then_user(1) == []

    @clause("LIFE-11")
    def test_interrupt_all_ends_the_active_tasks_and_changes_no_other(self, store: Store) -> None:
        # given tasks of every status in two organizations, of which only the named ones may change
        named, others = (
            [
                store.given(status=status, organization_id=organization, task_key=f"{name}.{status}", checkpoint=[1])
                for status, organization in itertools.product(STATUSES, (1, None))
            ]
            for name in ("named", "other")
        )
        store.clock.advance(1)

        # when the call names one id twice, and ids that no task has
        ids = [task["id"] for task in named]
        changed = store.manager.interrupt_all([*ids, ids[0], UNKNOWN_ID, "no id at all"], "shutdown")

        active = [task for task in named if task["status"] in ACTIVE]
        demand("LIFE-11", "interrupt_all: how many were changed", len(active), changed)
        for task in active:
            store.reference.update(task["id"], store.clock(), status="interrupted", error="shutdown")
        for task in (*named, *others):
            store.then_view(task["id"])
        for task in active:
            store.then_key(task["task_key"], task["organization_id"])
        demand("LIFE-11", "interrupt_all again", 0, store.manager.interrupt_all(ids, "again"))
        store.then_all_views()
