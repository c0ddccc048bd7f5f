"""USER: listing by user. Long lists are in `numbers.py`."""

from __future__ import annotations

from module_sdk_contract.data.reference import STATUSES
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause


class UserClauses:
    @clause("USER-01")
    def test_the_list_is_every_task_of_the_user(self, store: Store) -> None:
        for status in STATUSES:
            store.given(status=status, task_key=f"job:{status}", module="reports")
            store.given(status=status, module="billing")
        store.given(user_id=2)

        assert len(store.then_user(1)) == 2 * len(STATUSES)

    @clause("USER-02")
    def test_ids_compare_whole(self, store: Store) -> None:
        for user in (1, 10, 11, 100, "1a", "01", "1 "):
            store.given(user_id=user)

        for user in (1, 10, 11, 100, "1a", "01", "1 ", "1", "10", 101, "a"):
            store.then_user(user)
        assert len(store.then_user(1)) == 1

    @clause("USER-03")
    def test_text_ids_are_literal(self, store: Store) -> None:
        users = ("auth0|x", "ann@example.org", "Ann@example.org", "%", "_", "*", "a.c", "abc", "Zoë", "u:1", "u")
        for user in users:
            store.given(user_id=user)

        for user in users:
            assert [row["user_id"] for row in store.then_user(user)] == [user]

    @clause("USER-04")
    def test_an_unknown_user_has_an_empty_list(self, store: Store) -> None:
        store.given(user_id=1)

        for unknown in (2, -1, "nobody", "u" * 255):
            assert store.then_user(unknown) == []

    @clause("USER-06")
    def test_a_user_is_not_an_organization(self, store: Store) -> None:
        store.given(user_id=3, organization_id=4)
        store.given(user_id=4, organization_id=3)
        store.given(user_id=3, organization_id=3)
        store.given(user_id=4, organization_id=None)

        for user in (3, 4):
            for organization in (3, 4, None):
                store.then_user(user, organization)
