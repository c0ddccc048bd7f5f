"""USER: listing by user."""

from __future__ import annotations

from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.marks import clause, tier
from module_sdk_contract.reference import STATUSES

MANY = 5_200
"""More than any internal batch: of 500, of 1,000, of 5,000."""


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

        for stranger in (2, -1, "nobody", "u" * 255):
            assert store.then_user(stranger) == []

    @tier("core")
    @clause("USER-05", "PREFIX-10", "ORDER-09")
    def test_answers_are_complete_beyond_any_batch(self, store: Store) -> None:
        start = store.clock()
        store.given_imported(
            {
                "task_key": f"job:{index % 7}" if index % 2 else "job",
                "status": "completed",
                "created_at": start + index % 613,
                "module": "bulk",
            }
            for index in range(MANY)
        )

        # Limits below, at and above the batches that a store may read in.
        limits = (None, 7, 1_000, 2_501, MANY - 1)
        violations = [
            store.try_lookup(clause_id, operation, argument, limit=limit)
            for clause_id, operation, argument in (
                ("USER-05", "list_user_tasks", 1),
                ("USER-05", "get_tasks_by_key", "job"),
                ("PREFIX-10", "get_tasks_by_key_prefix", "job"),
            )
            for limit in limits
        ]

        for offset, limit in ((0, 1_000), (MANY - 900, 1_000), (1_001, 999)):
            page = {"offset": offset, "limit": limit}
            violations.append(store.try_page("ORDER-09", {"module": "bulk"}, ("created_at", "asc"), **page))

        then_none(violations)
        assert store.then_count({"module": "bulk"}) == MANY

    @clause("USER-06")
    def test_a_user_is_not_an_organization(self, store: Store) -> None:
        store.given(user_id=3, organization_id=4)
        store.given(user_id=4, organization_id=3)
        store.given(user_id=3, organization_id=3)
        store.given(user_id=4, organization_id=None)

        for user in (3, 4):
            for organization in (3, 4, None):
                store.then_user(user, organization)
