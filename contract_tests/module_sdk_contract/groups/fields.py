"""ORDER-09 and MODEL-02 to MODEL-06, field by field, on values that show the usual wrong rules for a column."""

from __future__ import annotations

import itertools
from typing import Any, Final

from module_sdk_contract.data.ladders import COUNT, MOMENTS, NEEDLES, ladder_tasks, values_of
from module_sdk_contract.data.reference import EVERYWHERE, ROW_FIELDS, time_text
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import demand

ALL_ROWS: Final = 1_000
PAGE_ROWS: Final = 17
DIRECTIONS: Final = ("asc", "desc")
TEXT_FIELDS: Final = ("module", "label", "status", "task_key", "user_id", "organization_id")
SEARCHED_FIELDS: Final = ("module", "label", "task_key", "user_id", "organization_id")


class FieldClauses:
    @clause("ORDER-09")
    def test_each_field_sorts_by_its_own_rule(self, store: Store) -> None:
        store.given_imported(ladder_tasks())

        for field, direction in itertools.product(ROW_FIELDS, DIRECTIONS):
            rows = store.then_page(sort=(field, direction), limit=ALL_ROWS)
            order: Any = {"field": field, "direction": direction}
            for offset in range(0, COUNT + PAGE_ROWS, PAGE_ROWS):
                asked = f"page(sort={order}, offset={offset}, limit={PAGE_ROWS})"
                found = store.manager.page(sort=order, offset=offset, limit=PAGE_ROWS)
                demand("ORDER-09", asked, rows[offset : offset + PAGE_ROWS], list(found))

    @clause("ORDER-09", "MODEL-03", "MODEL-05", "MODEL-06")
    def test_a_filter_does_not_change_the_order(self, store: Store) -> None:
        """The index by which a store selects rows may have another order."""
        tasks = store.given_imported(ladder_tasks())
        some = [task for task in tasks[3:60:7] if task["task_key"] and task["organization_id"]]
        filters: tuple[tuple[str, dict[str, Any]], ...] = (
            *(("MODEL-03", {field: [task[field] for task in some]}) for field in ("id", "task_key", "user_id")),
            ("MODEL-03", {"organization_id": [task["organization_id"] for task in some]}),
            ("MODEL-03", {"status": ["running", "completed", "pending"]}),
            ("MODEL-05", {"label__contains": "a"}),
            ("MODEL-06", {"created_at__gte": time_text(MOMENTS[2])}),
            ("MODEL-06", {"updated_at__lt": time_text(MOMENTS[4])}),
        )

        for clause_id, chosen in filters:
            then_selected(store, clause_id, chosen)
            for sort in (None, ("label", "asc"), ("created_at", "desc")):
                store.then_page(chosen, sort, limit=ALL_ROWS)
                store.then_page(chosen, sort, offset=3, limit=4)

    @clause("MODEL-02", "MODEL-04")
    def test_each_filter_compares_by_its_own_rule(self, store: Store) -> None:
        tasks = store.given_imported(ladder_tasks())

        for field in TEXT_FIELDS:
            for value in values_of(field):
                then_selected(store, "MODEL-02" if value is not None else "MODEL-04", {field: value})
        for task in tasks[::9]:
            then_selected(store, "MODEL-02", {"id": task["id"]})
            then_selected(store, "MODEL-02", {"id": task["id"].upper()})

    @clause("MODEL-03", "MODEL-04")
    def test_a_list_is_any_of_its_values_in_each_field(self, store: Store) -> None:
        store.given_imported(ladder_tasks())

        for field in TEXT_FIELDS:
            values = values_of(field)
            for start in range(1, len(values) - 1, 3):
                then_selected(store, "MODEL-03", {field: list(values[start : start + 2])})
            if None in values:
                for others in (values[1:2], values[2:4], values[1:]):
                    for wanted in ([None, *others], [*others, None]):
                        then_selected(store, "MODEL-04", {field: wanted})
                        then_selected(store, "MODEL-04", {field: wanted, "status": ["failed", "running"]})

    @tier("core")
    @clause("MODEL-05")
    def test_parts_of_each_text_field_are_found_by_its_own_rule(self, store: Store) -> None:
        store.given_imported(ladder_tasks())

        for field, text in itertools.product(SEARCHED_FIELDS, NEEDLES):
            for operator in ("contains", "startswith"):
                then_selected(store, "MODEL-05", {f"{field}__{operator}": text})
        for status in ("", "r", "R", "in", "running", "_", "ed", "waiting%"):
            for operator in ("contains", "startswith"):
                then_selected(store, "MODEL-05", {f"status__{operator}": status})

    @tier("core")
    @clause("MODEL-02", "MODEL-05", "MODEL-06")
    def test_all_filters_on_one_field_apply(self, store: Store) -> None:
        tasks = store.given_imported(ladder_tasks())

        for field in SEARCHED_FIELDS:
            values = [value for value in values_of(field) if value is not None]
            many = {f"{field}__startswith": "a", f"{field}__contains": "b"}
            for filters in (
                many,
                dict(reversed(many.items())),
                {field: values[:12], f"{field}__contains": "a"},
                {f"{field}__startswith": "a", field: values[4:20]},
                {f"{field}__contains": "b", f"{field}__startswith": "k"},
            ):
                then_selected(store, "MODEL-05", filters)
        moments = sorted({task["created_at"] for task in tasks})
        for first, last in itertools.combinations(moments[::3], 2):
            between = {"gte": time_text(first), "lt": time_text(last)}
            for field in ("created_at", "updated_at"):
                named = {f"{field}__{operator}": text for operator, text in between.items()}
                then_selected(store, "MODEL-06", named)
                then_selected(store, "MODEL-06", dict(reversed(named.items())))
            then_selected(store, "MODEL-06", {"updated_at__gte": between["gte"], "created_at__lt": between["lt"]})

    @tier("core")
    @clause("MODEL-06")
    def test_each_time_field_has_its_own_ranges(self, store: Store) -> None:
        store.given_imported(ladder_tasks())

        for field in ("created_at", "updated_at"):
            for moment in MOMENTS:
                for bound in (moment, moment + 1):
                    then_selected(store, "MODEL-06", {f"{field}__gte": time_text(bound)})
                    then_selected(store, "MODEL-06", {f"{field}__lt": time_text(bound)})


def then_selected(store: Store, clause_id: str, filters: Any) -> None:
    """Demand that the manager's page has exactly the expected ids, and that its count is their number.

    Other tests check rows, their order and the facade, which would make each filter take several times as long.
    """
    expected = sorted(task["id"] for task in store.reference.passing(filters, EVERYWHERE))
    found = sorted(row["id"] for row in store.manager.page(filters=filters, limit=ALL_ROWS))
    demand(clause_id, f"the ids of page(filters={filters})", expected, found)
    demand(clause_id, f"count(filters={filters})", len(expected), store.manager.count(filters=filters))
