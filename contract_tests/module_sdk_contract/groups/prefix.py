"""PREFIX: the prefix of a key. The collision sweep decides most of it; these tests state the rules one by one."""

from __future__ import annotations

from typing import Final

import pytest

from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import demand


def then_finds(store: Store, keys: tuple[str, ...], prefix: str) -> list[str]:
    """Create tasks with the keys, demand the reference's answer for the prefix, and return the keys found, sorted."""
    for key in keys:
        store.given(task_key=key)
    return sorted(row["task_key"] for row in store.then_prefix(prefix))


class PrefixClauses:
    @clause("PREFIX-01")
    def test_a_prefix_matches_the_start_of_a_key(self, store: Store) -> None:
        found = then_finds(store, ("job", "job:1", "jobs", "a job", "jo", "Job", "jpb"), "job")

        assert found == ["job", "job:1", "jobs"]

    @clause("PREFIX-02")
    def test_wildcards_are_literal(self, store: Store) -> None:
        prefixes = (
            *"%_*?[]\\.^$(|+{",
            "a%",
            "a_",
            "a\\",
            "[a",
            "a.",
            "^a",
            "\\Qa",
            "a!",
            "%%",
            "a\\E",
            "a\\E.",
            "a#",
            "a~",
            "a&",
            "a=",
        )
        for organization, prefix in enumerate(prefixes):
            for key in {"ab", "abc", "xab", "a", "b", "a\\%b", f"x{prefix}", prefix, f"{prefix}b"}:
                store.given(task_key=key, organization_id=organization)

        for organization, prefix in enumerate(prefixes):
            found = {row["task_key"] for row in store.then_prefix(prefix, organization)}
            assert {prefix, f"{prefix}b"} <= found

    @clause("PREFIX-03")
    def test_a_prefix_is_case_exact(self, store: Store) -> None:
        assert then_finds(store, ("job:1", "Job:1", "JOB:1", "éa", "Éa"), "job") == ["job:1"]
        assert [row["task_key"] for row in store.then_prefix("É")] == ["Éa"]

    @clause("PREFIX-04")
    def test_the_empty_prefix_finds_every_task_with_a_key(self, store: Store) -> None:
        store.given(task_key=None)
        store.given(task_key="job", organization_id=2)

        assert then_finds(store, ("a", "\x01", "\U0010ffff", " "), "") == ["\x01", " ", "a", "\U0010ffff"]

    @clause("PREFIX-05")
    def test_a_prefix_matches_by_character(self, store: Store) -> None:
        assert then_finds(store, ("a.b", "a.bc", "a.b.c", "a.c", "a"), "a.b") == ["a.b", "a.b.c", "a.bc"]
        assert len(store.then_prefix("a.")) == 4

    @clause("PREFIX-06")
    def test_a_prefix_may_end_in_a_character_that_has_no_simple_successor(self, store: Store) -> None:
        for organization, last in enumerate(("\x7f", "\xff", "\ud7ff", "\uffff", "\U0010ffff")):
            matching = {f"a{last}", f"a{last}b", f"a{last}{last}", f"a{last}\U0010ffff"}
            for key in matching | {"a", "b", "a~", "a\u0100", "a\ue000", "a\U00010000", last}:
                store.given(task_key=key, organization_id=organization)

            found = store.then_prefix(f"a{last}", organization)

            assert {row["task_key"] for row in found} == matching

    @clause("PREFIX-07")
    def test_characters_beyond_the_basic_plane_are_found(self, store: Store) -> None:
        keys = ("a😀", "a\uffff", "a\ue000", "az", "a{", "😀", "b")

        assert then_finds(store, keys, "a") == sorted(keys[:5])
        assert [row["task_key"] for row in store.then_prefix("a😀")] == ["a😀"]

    @clause("PREFIX-08")
    def test_a_combining_accent_is_a_character(self, store: Store) -> None:
        assert then_finds(store, ("e\u0301a", "éa", "ea"), "e") == ["ea", "e\u0301a"]
        assert [row["task_key"] for row in store.then_prefix("é")] == ["éa"]

    @clause("PREFIX-09")
    def test_a_prefix_that_no_key_has_finds_nothing(self, store: Store) -> None:
        store.given(task_key="job")

        for prefix in ("jobs", "k" * 1_024, "k" * 1_025, "job" * 10_000, "job\x00", "\x00", "\ud800", "job\udfff"):
            assert store.then_prefix(prefix) == []

    @tier("core")
    @clause("PREFIX-11")
    @pytest.mark.parametrize("limit", [None, 1, 10])
    def test_tasks_without_the_prefix_are_not_examined(self, store: Store, limit: int | None) -> None:
        store.given_imported({"task_key": f"job:{index}", "status": "completed"} for index in range(40))
        operation: Final = "get_tasks_by_key_prefix"
        before = store.manager.explain(operation, "job:", limit=limit).rows_examined

        for organization in (None, 2):
            store.given_imported(
                {"task_key": f"other:{index}", "organization_id": organization, "status": "completed"}
                for index in range(2_000)
            )

        after = store.manager.explain(operation, "job:", limit=limit)
        asked = f"rows examined for 40 matches, limit={limit} ({after.rows_examined}; {after.plan}) do not grow"
        demand("PREFIX-11", asked, True, after.rows_examined <= before + 20)
        # A store may count each row of the answer once or twice.
        assert (limit or 40) <= before <= 2 * 40 + 20
