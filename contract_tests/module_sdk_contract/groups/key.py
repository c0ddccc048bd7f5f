"""KEY: the exact key. The collision sweep decides most of it; these tests state the rules one by one."""

from __future__ import annotations

from module_sdk_contract.data.reference import STATUSES
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause


def then_each_finds_itself(store: Store, keys: tuple[str, ...]) -> None:
    for key in keys:
        store.given(task_key=key)
    for key in keys:
        assert [row["task_key"] for row in store.then_key(key)] == [key]


class KeyClauses:
    @clause("KEY-01")
    def test_keys_are_equal_by_code_points(self, store: Store) -> None:
        then_each_finds_itself(
            store, ("job", "Job", "job ", " job", "job\t", "job\n", "jöb", "jo\u0308b", "ｊｏｂ", "j\xa0ob", "j ob")
        )

    @clause("KEY-02")
    def test_special_characters_are_ordinary(self, store: Store) -> None:
        then_each_finds_itself(
            store, (*"%_*?[]\\.^$(|+'\";{}:/`", "a%", "a_", "ab", "a*", "a?", "[ab]", "a.", "^a", "a\\%")
        )

    @clause("KEY-03")
    def test_a_task_without_a_key_matches_no_key(self, store: Store) -> None:
        store.given(task_key=None)
        store.given(task_key="")
        store.given(task_key="None")

        assert [row["task_key"] for row in store.then_user(1)].count(None) == 2
        for key in ("", "null", "NULL", "\x01", " "):
            assert store.then_key(key) == []
        assert len(store.then_key("None")) == 1

    @clause("KEY-04")
    def test_the_longest_keys_differ_in_their_last_byte(self, store: Store) -> None:
        then_each_finds_itself(
            store,
            (
                "k" * 1_023 + "a",
                "k" * 1_023 + "b",
                "k" * 1_023,
                "k" * 255,
                "k" * 255 + "a",
                "k" * 255 + "b",
                "é" * 511 + "ab",
            ),
        )

    @clause("KEY-05")
    def test_every_run_of_the_key_comes_back(self, store: Store) -> None:
        for status in ("pending", "completed", "failed", "interrupted", "completed"):
            store.given(task_key="job", status=status)
        for status in STATUSES:
            store.given(task_key=f"job-{status}", status=status)

        assert len(store.then_key("job")) == 5

    @clause("KEY-06")
    def test_numeric_keys_are_texts(self, store: Store) -> None:
        then_each_finds_itself(store, ("1e3", "1000", "0x10", "16", "+1", "1", "01", "1.0", "-0", "0"))

    @clause("KEY-07")
    def test_a_key_may_look_like_anything_else(self, store: Store) -> None:
        other = store.given(task_key="job", user_id="ann", label="Export")
        store.given(task_key="job", organization_id=9)

        look_alikes = (other["id"], other["id"][:8], "ann", "9", "jo", "contract", "Export", "pending")
        then_each_finds_itself(store, look_alikes)
