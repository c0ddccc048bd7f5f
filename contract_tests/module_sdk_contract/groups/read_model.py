"""MODEL: the read model, on the manager and through `module_sdk.models.background_tasks`."""

from __future__ import annotations

import itertools
from typing import Any, Final

import module_sdk
from module_sdk.backends import TaskBackendError
from module_sdk.models import background_tasks
from module_sdk_contract.calls import UNKNOWN_ID, ordered_view
from module_sdk_contract.data.reference import EVERYWHERE, STATUSES, time_text
from module_sdk_contract.faults.failing_managers import failing_primitives
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import demand, demand_error

PAGE_FIELDS: Final = ("rows", "total_rows", "page", "page_size", "filters", "sort", "next")
TEXT_FILTERS: Final = ("id", "module", "label", "status", "task_key", "user_id", "organization_id")
LOOK_ALIKE_TEXTS: Final = (
    "%", "_", "a%b", "a_b", "axb", "AXB", "Axb", "a\\b", "*", "a*b", ".", "a.b", "é", "e\u0301", "a b", "a b ",
    "[ab]", "^a",
)  # fmt: skip
MANY_VALUES: Final = 3_000
UNKNOWN_FILTERS: Final = (
    "progress", "checkpoint", "error", "", "nothing", "created_at", "updated_at", "created_at__contains",
    "label__gte", "created_at__lte", "label__icontains", "label__regex", "id__in", "$where",
    "user_id__startswith__contains", "__contains",
)  # fmt: skip


def then_page_and_count(store: Store, field: str, values: list[Any]) -> None:
    """Compare page and count, filtered by a list of which two values occur, with the reference's."""
    filters: Any = {field: values}
    assert len(store.then_page(filters)) >= 2
    store.then_count(filters)


def given_variety(store: Store) -> None:
    """Create tasks that differ in every field that a filter can name."""
    statuses = itertools.cycle(STATUSES)
    for number, text in enumerate(LOOK_ALIKE_TEXTS):
        store.clock.advance(number % 3)
        store.given(
            label=text,
            module=("reports", "Reports", "billing")[number % 3],
            task_key=f"{text}:{number}" if number % 4 else None,
            user_id=(1, 10, "1a", "ann")[number % 4],
            organization_id=(None, 1, "acme", "Acme", 10)[number % 5],
            status=next(statuses),
            updated_at=store.clock() + (number * 7) % 11,
        )


class ModelClauses:
    @clause("MODEL-01")
    def test_a_page_has_the_documented_shape(self, store: Store) -> None:
        given_variety(store)

        with module_sdk.session(all_organizations=True):
            page = background_tasks.list(page=1, page_size=4, filters={"module": "reports"}, sort="-created_at")
            plain = background_tasks.list()

        rows = store.then_page({"module": "reports"}, ("created_at", "desc"), offset=4, limit=4)
        expected = {
            "rows": rows,
            "total_rows": store.then_count({"module": "reports"}),
            "page": 1,
            "page_size": 4,
            "filters": {"module": "reports"},
            "sort": {"field": "created_at", "direction": "desc"},
            "next": None,
        }
        demand("MODEL-01", "list(page=1, page_size=4, …)", expected, {name: page.get(name) for name in expected})
        for found in (page, plain):
            demand("MODEL-01", "the fields of a page", sorted(PAGE_FIELDS), sorted(found))
        demand("MODEL-01", "the defaults", (0, 25, {}), (plain["page"], plain["page_size"], plain["filters"]))

    @clause("MODEL-02")
    def test_each_filter_works_alone_and_all_together(self, store: Store) -> None:
        given_variety(store)
        task = store.reference.tasks[5]
        exact = {field: task[field] for field in TEXT_FILTERS}
        ranged = {
            "created_at__gte": time_text(task["created_at"]),
            "created_at__lt": time_text(task["created_at"] + 1),
            "updated_at__gte": time_text(task["updated_at"]),
            "updated_at__lt": time_text(task["updated_at"] + 1),
        }

        for other in store.reference.tasks:
            for field in TEXT_FILTERS:
                store.then_page({field: other[field]})
        for field, value in {**exact, **ranged}.items():
            store.then_count({field: value})
            store.then_count({field: value, "module__contains": "i"})
        for pair in itertools.combinations({**exact, **ranged}.items(), 2):
            store.then_page(dict(pair))
        store.then_page({**exact, **ranged, "label__contains": task["label"], "module__startswith": task["module"][:3]})

        assert store.then_count({**exact, **ranged}) == 1
        assert store.then_count({**exact, "user_id": "nobody"}) == 0

    @clause("MODEL-02")
    def test_filters_find_what_was_imported_and_changed(self, store: Store) -> None:
        imported = store.given_imported(
            {"task_key": f"job:{status}", "status": status, "user_id": status, "module": status, "organization_id": 1}
            for status in STATUSES
        )
        store.when_updated(imported[0]["id"], status="running", label="changed")

        for task in imported:
            for field in TEXT_FILTERS:
                store.then_page({field: task[field]})
                store.then_count({field: task[field]}, 1)

    @clause("MODEL-03")
    def test_a_list_means_any_of_its_values(self, store: Store) -> None:
        given_variety(store)

        for field in TEXT_FILTERS:
            values = [task[field] for task in store.reference.tasks[:3]]
            for wanted in (
                values,
                values[:1],
                [],
                [*values, "not there"],
                [None] if field == "task_key" else values * 2,
            ):
                store.then_page({field: wanted})
                store.then_count({field: wanted})
            nothing: Any = {field: []}
            demand("MODEL-03", f"count of {field}=[]", 0, store.manager.count(filters=nothing))
        assert store.then_count({"status": ["pending", "running"], "user_id": []}) == 0
        # More values than one statement of some stores takes.
        store.asks_facade = False
        many = [f"nobody-{number}" for number in range(MANY_VALUES)]
        for field in ("user_id", "task_key", "id"):
            first, last = store.reference.tasks[1][field], store.reference.tasks[-1][field]
            then_page_and_count(store, field, [first, *many, last])
        # More values than one statement of any store takes as parameters; PostgreSQL takes the most, 65,535.
        first, last = store.reference.tasks[1]["label"], store.reference.tasks[-1]["label"]
        then_page_and_count(store, "label", [first, *map(str, range(66_000)), last])

    @clause("MODEL-03")
    def test_a_list_with_none_in_it_stays_in_its_scope(self, store: Store) -> None:
        given_variety(store)

        others: tuple[dict[str, Any], ...] = ({}, {"module": "reports"}, {"label__contains": "a"})
        for field, other in itertools.product(("task_key", "organization_id"), others):
            filters = {field: [None, store.reference.tasks[1][field]], **other}
            for organization in (EVERYWHERE, None, 1):
                store.then_page(filters, organization_id=organization)
                store.then_count(filters, organization)

    @clause("MODEL-04")
    def test_unknown_filters_and_sort_fields_are_refused(self, store: Store) -> None:
        given_variety(store)

        with module_sdk.session(all_organizations=True):
            for name in UNKNOWN_FILTERS:
                filters = {name: "x"}
                demand_error("MODEL-04", f"page({filters})", ValueError, store.manager.page, filters=filters)
                demand_error("MODEL-04", f"count({filters})", ValueError, store.manager.count, filters=filters)
                demand_error("MODEL-04", f"list({filters})", ValueError, background_tasks.list, filters=filters)
            wrong_sorts: tuple[Any, ...] = (
                "nothing",
                "",
                "--label",
                "checkpoint",
                {"field": "x"},
                {"direction": "asc"},
                7,
                ["label"],
            )
            for sort in (*wrong_sorts, {"field": "label", "direction": "up"}, {"field": "label", "other": 1}):
                demand_error("MODEL-04", f"page(sort={sort!r})", ValueError, store.manager.page, sort=sort)
                demand_error("MODEL-04", f"list(sort={sort!r})", ValueError, background_tasks.list, sort=sort)
            for field, wrong in (
                ("user_id", True),
                ("user_id", 1.5),
                ("label", 7),
                ("label__contains", None),
                ("created_at__gte", 7),
            ):
                demand_error(
                    "MODEL-04", f"page({field}={wrong!r})", ValueError, store.manager.page, filters={field: wrong}
                )

    @clause("MODEL-04")
    def test_none_matches_tasks_without_a_value(self, store: Store) -> None:
        given_variety(store)

        for field in ("task_key", "organization_id"):
            rows = store.then_page({field: None}, limit=100)
            assert rows
            assert {row[field] for row in rows} == {None}
        for field in ("label", "user_id", "module", "status", "id"):
            assert store.then_page({field: None}) == []

    @clause("MODEL-05")
    def test_contains_and_startswith_are_literal(self, store: Store) -> None:
        given_variety(store)

        for text in (
            *LOOK_ALIKE_TEXTS,
            "",
            "a",
            "A",
            "x",
            "b ",
            "\\",
            "1",
            "cm",
            "AC",
            "\uffff",
            "\U0010ffff",
            "x\x00",
            "z" * 2_000,
        ):
            for field in ("label", "task_key", "module", "user_id", "organization_id"):
                for operator in ("contains", "startswith"):
                    store.then_page({f"{field}__{operator}": text}, limit=100)
        for field in ("id", "status"):
            for task in store.reference.tasks[:6]:
                for text in (task[field], task[field][:4], task[field][2:5], task[field].upper(), ""):
                    for operator in ("contains", "startswith"):
                        store.then_page({f"{field}__{operator}": text}, limit=100)

    @clause("MODEL-06")
    def test_time_ranges_are_half_open(self, store: Store) -> None:
        given_variety(store)

        for task in store.reference.tasks:
            for field in ("created_at", "updated_at"):
                for moment in (task[field] - 1, task[field], task[field] + 1):
                    store.then_page({f"{field}__gte": time_text(moment)})
                    store.then_page({f"{field}__lt": time_text(moment)})
        first, last = store.reference.tasks[3], store.reference.tasks[9]
        store.then_page(
            {"created_at__gte": time_text(first["created_at"]), "created_at__lt": time_text(last["created_at"])}
        )

    @clause("MODEL-07")
    def test_total_rows_equals_count(self, store: Store) -> None:
        given_variety(store)

        choices: tuple[Any, ...] = (
            None,
            {"module": "reports"},
            {"status": ["pending", "failed"]},
            {"user_id": []},
        )
        for organization in (None, 1, "acme"):
            with module_sdk.session(user={"id": 1, "organization_id": organization}):
                for filters in choices:
                    page = background_tasks.list(filters=filters, page_size=2)
                    expected = store.reference.count(filters, organization)
                    demand("MODEL-07", f"total_rows in {organization!r} of {filters}", expected, page["total_rows"])
                    demand("MODEL-07", "count", expected, background_tasks.count(filters))
        for status in STATUSES:
            store.then_count({"status": status})
        assert sum(store.then_count({"status": status}) for status in STATUSES) == store.then_count()

    @clause("MODEL-08")
    def test_a_page_past_the_end_is_empty(self, store: Store) -> None:
        given_variety(store)

        for offset in (18, 25, 1_000, 2**31, 2**32, 2**62):
            assert store.then_page(offset=offset) == []
        with module_sdk.session(all_organizations=True):
            demand("MODEL-08", "list(page=10**6)", [], background_tasks.list(page=10**6)["rows"])
            for wrong in (-1, True, 1.5, "1", None):
                demand_error("MODEL-08", f"list(page={wrong!r})", ValueError, background_tasks.list, page=wrong)
                demand_error("MODEL-08", f"page(offset={wrong!r})", ValueError, store.manager.page, offset=wrong)
            for wrong in (0, -1, 1_001, True, 25.0, "25", None):
                demand_error(
                    "MODEL-08", f"list(page_size={wrong!r})", ValueError, background_tasks.list, page_size=wrong
                )
                demand_error("MODEL-08", f"page(limit={wrong!r})", ValueError, store.manager.page, limit=wrong)
            assert len(background_tasks.list(page_size=1_000)["rows"]) == 18

    @clause("MODEL-09")
    def test_the_default_order_is_newest_change_first(self, store: Store) -> None:
        given_variety(store)
        for _ in range(6):
            store.given(updated_at=store.clock() + 5, created_at=store.clock())
        store.clock.advance(60)
        touched = store.reference.tasks[0]
        store.when_updated(touched["id"], label="touched")

        store.then_page(limit=100, organization_id=touched["organization_id"])
        rows = store.then_page(limit=100)

        assert rows[0]["label"] == "touched"
        assert [(row["updated_at"], row["id"]) for row in rows] == sorted(
            ((row["updated_at"], row["id"]) for row in rows), reverse=True
        )

    @clause("MODEL-10")
    def test_the_view_of_an_unknown_id_is_none(self, store: Store) -> None:
        task = store.given(checkpoint=[1])

        with module_sdk.session(all_organizations=True):
            for unknown in (
                UNKNOWN_ID,
                "no id",
                "",
                task["id"].upper(),
                f"{task['id']} ",
                task["id"].replace("-", ""),
                "\x00",
            ):
                demand("MODEL-10", f"get({unknown!r})", None, store.manager.get(unknown))
                demand("MODEL-10", f"view({unknown!r})", None, background_tasks.view(unknown))
            view = background_tasks.view(task["id"])
        expected = store.reference.view(task["id"])
        assert view is not None
        assert expected is not None
        demand("MODEL-10", "view of a known id", expected, ordered_view(view))

    @clause("MODEL-11")
    def test_the_read_model_is_read_only(self, store: Store) -> None:
        task = store.given()

        with module_sdk.session(all_organizations=True):
            for name in ("create", "update", "delete"):
                refused = getattr(background_tasks, name)
                error = demand_error("MODEL-11", name, NotImplementedError, refused, task["id"], label="x")
                demand("MODEL-11", "its message", "background_tasks is read-only", str(error))
        store.then_all_views()

    @clause("MODEL-12")
    def test_failures_raise_the_typed_error(self, store: Store) -> None:
        task = store.given()

        with (
            module_sdk.session(all_organizations=True),
            failing_primitives(store.manager, "store_page", "store_count", "store_get") as cause,
        ):
            for asked, call, arguments in (
                ("list", background_tasks.list, ()),
                ("count", background_tasks.count, ()),
                ("view", background_tasks.view, (task["id"],)),
            ):
                error = demand_error("MODEL-12", asked, TaskBackendError, call, *arguments)
                demand("MODEL-12", f"the cause of {asked}'s error is the driver's", True, error.__cause__ is cause)
