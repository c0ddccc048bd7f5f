"""SCOPE: organizations."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import Any, Final

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import InvalidInputError, SessionRequiredError, TaskNotFoundError
from module_sdk.models import background_tasks
from module_sdk_contract.calls import LOOKUPS, UNKNOWN_ID, argument_of, ordered_view
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import demand, demand_error

WRONG_IDS: Final[tuple[Any, ...]] = (True, False, 7.0, b"7", {"$gt": ""}, {}, [7], [], (7,), "", object())
WRONG_TEXTS: Final[tuple[Any, ...]] = (None, True, 7, 7.0, b"job", {"$gt": ""}, ["job"], object())


def then_refused(store: Store, operation: str, argument: Any, organization_id: Any) -> None:
    """Demand that the manager raises, and that the facade returns no rows and the same type of error."""
    asked = f"{operation}({argument!a}, {organization_id!a})"
    ask = getattr(store.manager, operation)
    demand_error("SCOPE-07", f"manager.{asked}", InvalidInputError, ask, argument, organization_id)
    answer = getattr(tasks, operation)(argument, organization_id)
    demand("SCOPE-07", f"tasks.{asked}", [], answer)
    demand("SCOPE-07", f"type of tasks.{asked}.error", InvalidInputError.__name__, type(answer.error).__name__)


class ScopeClauses:
    @clause("SCOPE-01")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_a_lookup_stays_in_its_organization(self, store: Store, operation: str) -> None:
        for organization in (1, 2, "a"):
            store.given(task_key="job:1", organization_id=organization)

        found = store.then_lookup(operation, argument_of(operation), 2)

        assert [row["organization_id"] for row in found] == [2]

    @clause("SCOPE-02", "SCOPE-03")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_no_organization_is_a_scope_of_its_own(self, store: Store, operation: str) -> None:
        store.given(task_key="job:1", organization_id=None)
        store.given(task_key="job:1", organization_id=1)

        of_none = store.then_lookup(operation, argument_of(operation), None)
        of_one = store.then_lookup(operation, argument_of(operation), 1)

        assert [row["organization_id"] for row in of_none] == [None]
        assert [row["organization_id"] for row in of_one] == [1]

    @clause("SCOPE-04")
    def test_the_decimal_text_of_an_integer_is_that_integer(self, store: Store) -> None:
        store.given(task_key="a", organization_id="7")
        store.given(task_key="b", organization_id=7)
        store.given(task_key="c", organization_id="007")

        assert store.then_prefix("", 7) == store.then_prefix("", "7")
        assert {row["task_key"] for row in store.then_prefix("", 7)} == {"a", "b"}
        for look_alike in ("7 ", " 7", "7.0", "+7", "7\n", "٧"):
            assert store.then_prefix("", look_alike) == []

    @clause("SCOPE-05")
    @pytest.mark.parametrize("number", [0, -1, 2**63, 2**80, -(2**63) - 1])
    def test_an_unusual_integer_is_an_ordinary_organization(self, store: Store, number: int) -> None:
        store.given(task_key="job:1", organization_id=None)
        store.given(task_key="job:1", organization_id=number)
        store.given(task_key="job:2", organization_id=str(number))

        assert len(store.then_prefix("job", number)) == 2
        assert len(store.then_user(1, number)) == 2
        assert len(store.then_key("job:1", None)) == 1

    @clause("SCOPE-06")
    def test_separators_in_text_never_mix_organization_user_and_key(self, store: Store) -> None:
        for separator in ":|/\x1f\x01,;{}":
            joined = f"b{separator}c"
            for organization, user, key in (
                (f"a{separator}b", "c", "c"),
                ("a", joined, "d"),
                ("a", "d", joined),
                (f"a{separator}b", "d", f"c{separator}d"),
                (f"a{separator}{joined}", "d", "d"),
                ("a", f"{joined}{separator}d", f"{joined}{separator}d"),
            ):
                store.given(organization_id=organization, user_id=user, task_key=key)

        for task in list(store.reference.tasks):
            organization = task["organization_id"]
            store.then_key(task["task_key"], organization)
            store.then_user(task["user_id"], organization)
            store.then_prefix(task["task_key"][:1], organization)

    @clause("SCOPE-07")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_arguments_of_a_wrong_type_are_refused(self, store: Store, operation: str) -> None:
        for organization in (None, 0, 1, 7):
            store.given(task_key="job:1", user_id=7, organization_id=organization)

        for wrong in WRONG_IDS:
            then_refused(store, operation, argument_of(operation), wrong)
        for wrong in (None, *WRONG_IDS) if operation == "list_user_tasks" else WRONG_TEXTS:
            then_refused(store, operation, wrong, 1)

    @clause("SCOPE-07")
    def test_calls_by_id_and_pages_refuse_organizations_of_a_wrong_type(self, store: Store) -> None:
        task_id = store.given(task_key="job", status="failed")["id"]
        store.clock.advance(10)
        calls: dict[str, Callable[..., object]] = {
            "get": functools.partial(store.manager.get, task_id),
            "update": functools.partial(store.manager.update, task_id, label="x"),
            "page": store.manager.page,
            "count": store.manager.count,
            "prune": functools.partial(store.manager.prune, 1),
        }

        for wrong in WRONG_IDS:
            for asked, call in calls.items():
                shown = f"{asked}(organization_id={wrong!a})"
                demand_error("SCOPE-07", shown, InvalidInputError, call, organization_id=wrong)
        store.then_all_views()

    @clause("SCOPE-08")
    def test_an_empty_list_of_organizations_matches_nothing(self, store: Store) -> None:
        store.given(organization_id=None)
        store.given(organization_id=1)

        assert store.then_page({"organization_id": []}) == []
        assert store.then_count({"organization_id": []}) == 0
        assert store.then_count({"organization_id": [None]}) == 1
        assert store.then_count({"organization_id": [None, 1]}) == 2

    @clause("SCOPE-09")
    def test_one_user_in_two_organizations_has_two_lists(self, store: Store) -> None:
        for organization in (1, 2, None):
            store.given(user_id=5, organization_id=organization)
            store.given(user_id=6, organization_id=organization)

        assert [row["organization_id"] for row in store.then_user(5, 1)] == [1]
        assert [row["organization_id"] for row in store.then_user(5, 2)] == [2]
        assert [row["organization_id"] for row in store.then_user(5, None)] == [None]

    @clause("SCOPE-10")
    @pytest.mark.parametrize("other_organization", [2, None])
    def test_a_session_cannot_tell_another_organizations_task_from_an_unknown_one(
        self, store: Store, other_organization: int | None
    ) -> None:
        task = store.given(organization_id=1, task_key="job:1", status="running")

        with module_sdk.session(user={"id": 1, "organization_id": other_organization}):
            for task_id in (task["id"], UNKNOWN_ID):
                demand("SCOPE-10", f"view({task_id!r})", None, background_tasks.view(task_id))
                demand("SCOPE-10", f"cancel({task_id!r})", False, tasks.cancel(task_id))
                respond = f"respond_confirmation({task_id!r})"
                demand_error("SCOPE-10", respond, TaskNotFoundError, tasks.respond_confirmation, task_id, {})
                demand_error("SCOPE-10", f"wait({task_id!r})", TaskNotFoundError, tasks.wait, task_id, 0.1)
                found = tasks.update_progress_sync(task_id, 0.5)  # type: ignore[func-returns-value]  # must be None
                demand("SCOPE-10", f"update_progress({task_id!r})", None, found)
            assert background_tasks.count({"id": task["id"]}) == 0
        store.then_view(task["id"])

    @clause("SCOPE-10")
    def test_calls_by_id_need_a_session(self, store: Store) -> None:
        task_id = store.given(organization_id=1)["id"]

        for asked, call in (
            ("view", lambda: background_tasks.view(task_id)),
            ("list", background_tasks.list),
            ("count", background_tasks.count),
            ("cancel", lambda: tasks.cancel(task_id)),
            ("respond_confirmation", lambda: tasks.respond_confirmation(task_id, {})),
            ("wait", lambda: tasks.wait(task_id, 0.1)),
            ("update_progress", lambda: tasks.update_progress_sync(task_id, 0.5)),
        ):
            demand_error("SCOPE-10", f"{asked} without a session", SessionRequiredError, call)
        store.then_view(task_id)

    @clause("SCOPE-11")
    def test_counts_and_pages_obey_the_scope(self, store: Store) -> None:
        for organization in (None, 1, 1, 2, "a"):
            store.given(organization_id=organization)

        for organization in (None, 1, 2, "a", "A", 3):
            store.then_page(organization_id=organization)
            store.then_page({"user_id": 1}, ("created_at", "asc"), organization_id=organization)
            store.then_count(organization_id=organization)
            store.then_count({"organization_id": [1, 2]}, organization_id=organization)
        assert store.then_count() == 5

    @clause("SCOPE-11")
    def test_writes_by_id_obey_the_scope(self, store: Store) -> None:
        task_id = store.given(organization_id=1)["id"]

        for organization in (2, None, "01"):
            row = store.manager.update(task_id, organization_id=organization, progress=0.5)
            demand("SCOPE-11", f"update in organization {organization!r}", None, row)
            found = store.manager.get(task_id, organization_id=organization)
            demand("SCOPE-11", f"get in organization {organization!r}", None, found)
        store.then_view(task_id)

    @clause("SCOPE-11")
    @pytest.mark.parametrize("own", [None, 7, "Acme"])
    def test_calls_by_id_reach_their_own_organization_and_no_look_alike(self, store: Store, own: Any) -> None:
        task_id = store.given(organization_id=own, task_key="job", status="running")["id"]

        for look_alike in {None, 7, 70, "07", "7 ", "Acme", "acme", "ACME", "Acme ", "Acm", "A%"} - {own}:
            row = store.manager.update(task_id, organization_id=look_alike, label="no")
            demand("SCOPE-11", f"update in organization {look_alike!r}", None, row)
            found = store.manager.get(task_id, organization_id=look_alike)
            demand("SCOPE-11", f"get in organization {look_alike!r}", None, found)
        store.then_view(task_id)
        store.when_updated(task_id, organization_id=own, progress=0.5)
        store.when_updated(task_id, organization_id=own, checkpoint=[1], label="yes")
        found = store.manager.get(task_id, organization_id=own)
        demand("SCOPE-11", f"get in organization {own!r}", store.manager.get(task_id), found)
        with module_sdk.session(user={"id": 1, "organization_id": own}):
            demand(
                "SCOPE-11",
                "view in its session",
                store.reference.view(task_id),
                ordered_view(background_tasks.view(task_id) or {}),
            )
            demand("SCOPE-11", "cancel in its session", True, tasks.cancel(task_id))

    @clause("SCOPE-12")
    def test_one_key_is_active_once_in_each_organization(self, store: Store) -> None:
        for organization in (None, 1, 2, "a"):
            store.given(task_key="job:1", organization_id=organization)
            store.given(task_key="job:1", organization_id=organization)

        for organization in (None, 1, 2, "a"):
            assert len(store.then_key("job:1", organization)) == 1

    @clause("SCOPE-14")
    def test_a_uuid_object_means_its_text(self, store: Store) -> None:
        user, organization = uuid.UUID(int=2**127 + 1), uuid.UUID(int=2**127 + 2)
        made = store.given(user_id=str(user), organization_id=str(organization), task_key="job")
        store.given(user_id=user.hex, organization_id=organization.hex, task_key="job")
        task_id: Any = uuid.UUID(made["id"])
        ids = [made["id"]]

        for namespace in (store.manager, tasks):
            for operation, argument in (
                ("list_user_tasks", user),
                ("get_tasks_by_key", "job"),
                ("get_tasks_by_key_prefix", "j"),
            ):
                rows = getattr(namespace, operation)(argument, organization)
                demand("SCOPE-14", f"{operation}({argument!r}, {organization!r})", ids, [row["id"] for row in rows])
        choices: tuple[Any, ...] = ({"user_id": user}, {"organization_id": [organization]}, {"id": task_id})
        for filters in choices:
            rows = store.manager.page(filters=filters)
            demand("SCOPE-14", f"page of {filters}", ids, [row["id"] for row in rows])
            demand("SCOPE-14", f"count of {filters}", 1, store.manager.count(filters=filters))
        found = store.manager.get(task_id, organization_id=organization)
        demand("SCOPE-14", "get of a UUID", made["id"], found and found.id)
        changed = store.manager.update(task_id, organization_id=organization, label="changed")
        demand("SCOPE-14", "update of a UUID", "changed", changed and changed["label"])
        fields = {**store.fields(), "user_id": user, "organization_id": organization}
        created, _ = store.manager.create(task_of(fields))
        expected_ids = (str(user), str(organization))
        demand("SCOPE-14", "ids of a created task", expected_ids, (created.user_id, created.organization_id))
        with module_sdk.session(user={"id": user, "organization_id": organization}):
            view = background_tasks.view(created.id)
        demand("SCOPE-14", "ids in a view", expected_ids, view and (view["user_id"], view["organization_id"]))
