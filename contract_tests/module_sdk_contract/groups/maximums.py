"""Maximums: every text and payload at its maximum of bytes or depth, and just above it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Final

import pytest

from module_sdk.errors import InvalidInputError, PayloadError
from module_sdk_contract.data.families import LINE_BREAKS
from module_sdk_contract.data.reference import PAYLOADS, Fields
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import Violation, demand, demand_error

# By field: its maximum in bytes of UTF-8, and the clause by which such a text comes back.
MAXIMUMS: Final = {
    "module": (255, "ROW-04"),
    "label": (1_024, "ROW-04"),
    "error": (65_536, "ROW-04"),
    "function": (1_024, "ROW-07"),
    "task_key": (1_024, "KEY-04"),
    "user_id": (255, "USER-02"),
    "organization_id": (255, "SCOPE-01"),
}
# Characters of one to four bytes, each paired with one that differs from it only in its last byte.
FILLS: Final = (("a", "b"), ("é", "è"), ("\u2028", "\u2029"), ("😀", "😁"))
LARGEST_PAYLOAD_BYTES: Final = 4_194_304
MAXIMUM_DEPTH: Final = 100
# Integers have at most 4,300 digits.
LARGE_NUMBERS: Final[tuple[Any, ...]] = (10**4_299, -(10**4_299), [10**4_299 + 1, 1.7976931348623157e308, 5e-324])
CHANGEABLE: Final = ("checkpoint", "result", "confirmation")
EMPTIED: Final[tuple[Fields, ...]] = (
    {"error": ""},
    {"error": None},
    {"error": "", "label": ""},
    *({name: value} for name in CHANGEABLE for value in ("", None, "")),
    {"status": "failed", "error": "", "result": "", "label": ""},
)


def filled(size: int, fill: str, last: str) -> str:
    """Return a text of `size` bytes whose last character is `last`."""
    times = size // len(fill.encode())
    return "x" * (size - times * len(fill.encode())) + fill * (times - 1) + last


def texts_of(size: int) -> list[str]:
    """Return texts of exactly `size` bytes: for each width of character two that differ only in the last byte."""
    return [filled(size, fill, last) for fill, other in FILLS for last in (fill, other)]


def nested(depth: int, kind: str) -> Any:
    """Return nested lists, objects or both in turn, `depth` of them."""
    value: Any = "leaf"
    for level in range(depth):
        is_list = kind == "lists" or (kind == "both" and level % 2)
        value = [value] if is_list else {"k": value}
    return value


def write_everywhere(store: Store, **payloads: Any) -> None:
    """Write the payloads by a create, by an import and by updates, and demand that they come back."""
    store.given(**payloads, status="completed")
    store.given_imported([{**payloads, "status": "running"}])
    task = store.given(status="running")
    for name in CHANGEABLE:
        if name in payloads:
            store.when_updated(task["id"], **{name: payloads[name]})
    then_none(store.try_view("ROW-07", task["id"]) for task in store.reference.tasks[-3:])
    for entry in store.reference.tasks[-3:]:
        found = store.manager.get(entry["id"])
        demand("ROW-07", "arguments", entry["arguments"], found and found.arguments)


class MaximumClauses:
    @clause("ROW-04", "ROW-07", "KEY-04", "PREFIX-01", "USER-02", "SCOPE-01")
    @pytest.mark.parametrize("field", list(MAXIMUMS))
    def test_the_longest_texts_come_back_whole(self, store: Store, field: str) -> None:
        size, clause_id = MAXIMUMS[field]
        texts = texts_of(size)
        status = "completed" if field == "task_key" else "running"
        violations = [store.try_create(store.fields(status="failed", **{field: text})) for text in texts]
        imported = store.given_imported({"status": status, field: text} for text in texts)
        if field in ("label", "error"):
            for task, text in zip(imported, reversed(texts), strict=True):
                store.when_updated(task["id"], **{field: text})

        violations += [store.try_view(clause_id, task["id"]) for task in store.reference.tasks]
        violations += [try_find(store, field, text) for text in texts]

        # `try_create` blames the first clause of the test; the field has a clause of its own.
        then_none(found and dataclasses.replace(found, clause=clause_id) for found in violations)
        for task in store.reference.tasks:
            kept = store.manager.get(task["id"])
            demand("ROW-07", "function", task["function"], kept and kept.function)
        if field == "task_key":
            for text in texts:
                for prefix in (text, text[:-1]):
                    then_none([store.try_lookup("PREFIX-01", "get_tasks_by_key_prefix", prefix)])

    @clause("BAD-01")
    @pytest.mark.parametrize("field", [field for field in MAXIMUMS if field != "error"])
    def test_one_byte_more_is_refused(self, store: Store, field: str) -> None:
        size, _ = MAXIMUMS[field]
        task = store.given(status="running")
        for text in texts_of(size + 1):
            asked = f"{field} of {size + 1:,} bytes that end in {text[-1]!a}"
            writes: list[Callable[[], object]] = [functools.partial(create, store, **{field: text})]
            if field == "label":
                writes.append(functools.partial(store.manager.update, task["id"], label=text))
            for write in writes:
                error = demand_error("BAD-01", asked, InvalidInputError, write)
                demand("BAD-01", f"the error of {asked}", (field, size), (error.field, error.maximum))

        store.then_all_views()

    @clause("ROW-04")
    def test_an_error_is_cut_at_its_maximum_and_not_before(self, store: Store) -> None:
        """The cut is between two characters."""
        size = MAXIMUMS["error"][0]
        for fill, _ in FILLS:
            task = store.given(status="running")
            kept = filled(size, fill, fill)
            store.manager.update(task["id"], status="failed", error=kept + fill)
            store.reference.update(task["id"], store.clock(), status="failed", error=kept)

        store.then_all_views()

    @clause("ROW-07")
    @pytest.mark.parametrize("kind", ["lists", "objects", "both"])
    def test_payloads_of_the_maximum_depth_come_back(self, store: Store, kind: str) -> None:
        write_everywhere(store, **dict.fromkeys(PAYLOADS, nested(MAXIMUM_DEPTH, kind)))
        for name in PAYLOADS:
            write_everywhere(store, **{name: nested(MAXIMUM_DEPTH - 1, kind)})
            asked = f"{name} of depth {MAXIMUM_DEPTH + 1}"
            task = task_of(store.fields(**{name: nested(MAXIMUM_DEPTH + 1, kind)}))
            error = demand_error("ROW-07", asked, PayloadError, store.manager.create, task)
            demand("ROW-07", f"the error of {asked}", (name, MAXIMUM_DEPTH), (error.field, error.maximum))

    @clause("ROW-07")
    def test_the_largest_numbers_come_back(self, store: Store) -> None:
        for value in LARGE_NUMBERS:
            write_everywhere(store, **dict.fromkeys(PAYLOADS, value))

    @tier("core")
    @clause("BAD-01")
    def test_the_largest_payload_that_an_option_allows_is_kept(self, store: Store) -> None:
        store.manager = store.open(maximum_payload_bytes=LARGEST_PAYLOAD_BYTES)
        store.manager.setup()
        store.use_facade()
        # As JSON the text is two bytes longer, because of its quotes.
        largest = "x" * (LARGEST_PAYLOAD_BYTES - 3) + "y"

        task = store.given(status="running", checkpoint=largest)
        (imported,) = store.given_imported([{"status": "failed", "arguments": largest}])
        store.then_view(task["id"])
        store.when_updated(task["id"], checkpoint=None, result=largest)

        store.then_all_views()
        found = store.manager.get(imported["id"])
        demand("BAD-01", "the largest arguments", largest, found and found.arguments)
        update = functools.partial(store.manager.update, task["id"], result=f"{largest}x")
        error = demand_error("BAD-01", "one byte more", PayloadError, update)
        demand("BAD-01", "the maximum that the error names", LARGEST_PAYLOAD_BYTES, error.maximum)

    @clause("ROW-04", "ROW-07")
    def test_every_kind_of_line_break_comes_back(self, store: Store) -> None:
        for line_break in LINE_BREAKS:
            texts = (line_break, f"a{line_break}", f"{line_break}a", f"a{line_break}b", f"a{line_break * 2}b")
            for text in texts:
                store.given(label=text, module=text, status="failed", error=text)
            store.given_imported(
                {"label": text, "module": text, "error": text, "status": "running", "checkpoint": {text: text}}
                for text in texts
            )
            for task, text in zip(store.reference.tasks[-len(texts) :], reversed(texts), strict=True):
                store.when_updated(task["id"], label=text, error=text, result=[text])

        store.then_user(1)
        store.then_all_views()

    @clause("LIFE-08", "ROW-04")
    def test_the_empty_text_is_not_none(self, store: Store) -> None:
        writes = (store.given, lambda **fields: store.given_imported([fields])[0])
        for write in writes:
            empty = write(label="", error="", checkpoint="", result="", confirmation="", arguments="", status="failed")
            then_none([store.try_view("ROW-04", empty["id"])])
        for write in writes:
            task = write(label="x", error="x", checkpoint="x", result="x", confirmation="x", status="running")
            for changes in EMPTIED:
                store.when_updated(task["id"], **changes)
                store.then_view(task["id"])


def create(store: Store, **fields: Any) -> None:
    store.manager.create(task_of(store.fields(**fields)))


def try_find(store: Store, field: str, text: str) -> Violation | None:
    """Look for the text by the lookup or the filter of the field, and return what differs from the reference."""
    if field == "task_key":
        return store.try_lookup("KEY-04", "get_tasks_by_key", text)
    if field == "user_id":
        return store.try_lookup("USER-02", "list_user_tasks", text)
    if field == "organization_id":
        return store.try_lookup("SCOPE-01", "list_user_tasks", 1, text)
    return None if field in ("error", "function") else store.try_page("ROW-04", {field: text})
