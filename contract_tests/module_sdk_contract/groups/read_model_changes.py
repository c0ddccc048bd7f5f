"""MODEL-02, MODEL-06, MODEL-07, SEE-01: each read before and after each kind of change; time bounds of any value."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import pytest

from module_sdk.errors import TaskConflictError
from module_sdk_contract.data.reference import Fields, time_text
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import ContractViolation, Violation, demand, demand_error

Read = Callable[[Store, Fields], Violation | None]
Change = Callable[[Store, Fields], object]

FAR_TIMES: Final = (-(10**16), -(10**6), -1, 0, 1, 2**31 * 10**6, 2**53 + 1, 2 * 10**17)
"""Microseconds since 1970: from the year 1653 to the year 8307."""


def page_of(**filters: Any) -> Read:
    return lambda store, task: store.try_page("MODEL-02", filters)


def count_of(**filters: Any) -> Read:
    return lambda store, task: store.try_count("MODEL-07", filters)


READS: Final[dict[str, Read]] = {
    "list_user_tasks": lambda store, task: store.try_lookup("SEE-01", "list_user_tasks", 1),
    "get_tasks_by_key": lambda store, task: store.try_lookup("SEE-01", "get_tasks_by_key", task["task_key"]),
    "get_tasks_by_key_prefix": lambda store, task: store.try_lookup("SEE-01", "get_tasks_by_key_prefix", "job"),
    "get": lambda store, task: store.try_view("SEE-01", task["id"]),
    "page": page_of(),
    "page of a status": page_of(status="running"),
    "page of ended tasks": page_of(status=["completed", "failed", "interrupted"]),
    "page of a label": page_of(label="before"),
    "count": count_of(),
    "count of a status": count_of(status="running"),
    "count of a label": count_of(label="before"),
}


def updating(**changes: Any) -> Change:
    return lambda store, task: store.when_updated(task["id"], **changes)


def when_imported(store: Store, task: Fields) -> None:
    store.given_imported([{"task_key": task["task_key"], "status": "failed", "label": "before"}, {"label": "after"}])


def when_an_import_is_refused(store: Store, task: Fields) -> None:
    """Import a batch whose second record is refused; the first one stays."""
    fields = [store.fields(status="failed", label="before"), store.fields(task_key=task["task_key"], label="after")]
    batch = [task_of(each) for each in fields]
    demand_error("DEDUP-09", "import of a held key", TaskConflictError, store.manager.import_tasks, batch)
    store.reference.create(fields[0])


def when_interrupted(store: Store, task: Fields) -> None:
    changed = store.manager.interrupt_all([task["id"]], "stopped")
    demand("LIFE-11", "interrupt_all of a running task", 1, changed)
    store.reference.update(task["id"], store.clock(), status="interrupted", error="stopped")


def when_pruned(store: Store, task: Fields) -> None:
    removed = store.reference.prune(store.clock())
    demand("KEEP-01", "prune(0)", removed, store.manager.prune(0))


CHANGES: Final[dict[str, Change]] = {
    "create": lambda store, task: store.given(task_key="job:more", label="before", status="running"),
    "update": updating(status="waiting_confirmation", confirmation={"ask": 1}, label="after", progress=0.5),
    "update of the checkpoint": updating(checkpoint=["after"]),
    "end": updating(status="completed", result=[1]),
    "import": when_imported,
    "import that is refused": when_an_import_is_refused,
    "interrupt_all": when_interrupted,
    "prune": when_pruned,
}


class ModelChanges:
    @clause("SEE-01", "MODEL-02", "MODEL-07", "DEDUP-09", "LIFE-11", "KEEP-01")
    @pytest.mark.parametrize("change", CHANGES)
    def test_a_read_repeated_after_a_change_sees_it(self, store: Store, change: str) -> None:
        """Each read is checked with the change separately, so that the first failure names the read to blame."""
        for number, (asked, read) in enumerate(READS.items()):
            store.calls.begin_case()
            key = f"job:{number}"
            task = store.given(task_key=key, label="before", status="failed" if change == "prune" else "running")
            store.clock.advance(1)
            then_none([read(store, task)])

            CHANGES[change](store, task)

            if violation := read(store, task):
                raise ContractViolation([violation], f"The same read ({asked}) was right before the change ({change}).")

    @clause("MODEL-06")
    def test_a_time_bound_of_any_value_is_exact(self, store: Store) -> None:
        store.given_imported(
            {"created_at": moment, "updated_at": moment + distance, "status": "failed", "label": f"{distance}"}
            for moment, distance in itertools.product(FAR_TIMES, (0, 5))
        )

        for moment in FAR_TIMES:
            for field, at in (("created_at", moment), ("updated_at", moment + 5)):
                store.calls.begin_case()
                store.then_page({f"{field}__gte": time_text(at)})
                store.then_page({f"{field}__lt": time_text(at)})
                store.then_count({f"{field}__lt": time_text(at), "label": "5"})
                store.then_count({f"{field}__gte": time_text(at), f"{field}__lt": time_text(at + 1)})
            store.then_page({"created_at__lt": time_text(moment + 1), "updated_at__gte": time_text(moment + 5)})
        for first, last in itertools.pairwise(FAR_TIMES):
            for field in ("created_at", "updated_at"):
                store.calls.begin_case()
                store.then_page({f"{field}__gte": time_text(first), f"{field}__lt": time_text(last)})
