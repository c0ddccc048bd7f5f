"""BAD: invalid input, and input that looks dangerous."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final

import pytest

from module_sdk import tasks
from module_sdk.backends import InvalidInputError
from module_sdk.errors import PayloadError
from module_sdk_contract.calls import LOOKUPS
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import demand, demand_error

MAXIMUM_PAYLOAD_BYTES: Final = 1_048_576
# Field, value, and the maximum that the error names (`None`: the rule is not a size).
BAD_FIELDS: Final[tuple[tuple[str, Any, int | None], ...]] = (
    ("task_key", "k" * 1_025, 1_024), ("task_key", "é" * 513, 1_024), ("task_key", "a\x00b", None),
    ("task_key", "\ud800", None), ("task_key", 7, None), ("task_key", b"job", None), ("task_key", ["job"], None),
    ("module", "", None), ("module", "m" * 256, 255), ("module", "m\x00", None), ("module", None, None),
    ("label", "x" * 1_025, 1_024), ("label", "\udfff", None), ("label", "\x00", None), ("label", None, None),
    ("label", 1, None), ("user_id", "", None), ("user_id", None, None), ("user_id", True, None),
    ("user_id", 1.0, None), ("user_id", "u" * 256, 255), ("user_id", "u\x00", None), ("user_id", "\ud800", None),
    ("user_id", 10**255, 255), ("user_id", {"$gt": ""}, None), ("organization_id", "", None),
    ("organization_id", False, None), ("organization_id", "o" * 256, 255), ("organization_id", b"o", None),
    ("organization_id", [1], None), ("status", "done", None), ("status", None, None), ("status", "Pending", None),
    ("status", 1, None), ("progress", math.nan, None), ("progress", math.inf, None), ("progress", "0.5", None),
    ("progress", True, None), ("id", "7", None), ("id", "", None),
    ("id", "123E4567-E89B-12D3-A456-426614174000", None), ("id", 7, None), ("created_at", 1.5, None),
    ("created_at", True, None), ("created_at", "2024-01-01", None), ("error", 7, None),
)  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def bad_payloads() -> list[tuple[Any, int | None]]:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    return [
        (math.nan, None),
        ([math.inf], None),
        ({"a": {"b": -math.inf}}, None),
        ({1: "a"}, None),
        ({None: "a"}, None),
        ({"a": {True: 1}}, None),
        (b"bytes", None),
        (object(), None),
        ([1, (2, {b"3"})], None),
        (nested(101), 100),
        (cyclic, 100),
        ("x" * MAXIMUM_PAYLOAD_BYTES, MAXIMUM_PAYLOAD_BYTES),
        (["x" * 1_000] * 1_100, MAXIMUM_PAYLOAD_BYTES),
        ("😀" * (MAXIMUM_PAYLOAD_BYTES // 12 + 1), MAXIMUM_PAYLOAD_BYTES),
        (10**4_400, None),
    ]


class BadClauses:
    @clause("BAD-01")
    def test_a_value_that_no_task_can_have_cannot_be_written(self, store: Store) -> None:
        store.given(task_key="job")

        for field, value, maximum in BAD_FIELDS:
            create = functools.partial(create_from, store, {**store.fields(), field: value})
            then_names(f"a task with {field}={value!a:.60}", field, maximum, create)

        store.then_all_views()

    @clause("BAD-01")
    def test_a_bad_update_changes_nothing(self, store: Store) -> None:
        task = store.given(status="running", checkpoint=[1])
        update = functools.partial(store.manager.update, task["id"])

        for field, value, maximum in BAD_FIELDS:
            if field in ("label", "status", "progress", "error"):
                asked = f"update({field}={value!a:.60})"
                then_names(asked, field, maximum, functools.partial(update, **{"checkpoint": [2], field: value}))
        demand_error("BAD-01", "an update of nothing", InvalidInputError, update)
        wrong_ids: tuple[Any, ...] = (None, 7, b"id")
        for task_id in wrong_ids:
            update_of = functools.partial(store.manager.update, task_id, label="x")
            then_names(f"update of {task_id!r}", "task_id", None, update_of)

        store.then_all_views()

    @clause("BAD-01")
    @pytest.mark.parametrize("field", ["checkpoint", "result", "confirmation", "arguments"])
    def test_a_payload_that_is_not_json_or_too_large_is_refused(self, store: Store, field: str) -> None:
        task = store.given(status="running", checkpoint=[1])

        for value, maximum in bad_payloads():
            asked = f"{field}={type(value)!s}"
            create = functools.partial(store.manager.create, task_of({**store.fields(), field: value}))
            then_names(f"create with {asked}", field, maximum, create, PayloadError)
            if field != "arguments":
                update = functools.partial(store.manager.update, task["id"], **{field: value, "label": "changed"})
                then_names(f"update with {asked}", field, maximum, update, PayloadError)

        store.then_all_views()

    @clause("BAD-01")
    def test_the_largest_payload_is_kept(self, store: Store) -> None:
        text = "x" * (MAXIMUM_PAYLOAD_BYTES - 2)
        task = store.given(status="running")
        for field in ("checkpoint", "result", "confirmation", "arguments"):
            store.given(**{field: text})
            if field != "arguments":
                store.when_updated(task["id"], **{field: text})

        store.then_all_views()

    @tier("core")
    @clause("BAD-01")
    def test_an_import_may_contain_many_of_the_largest_payloads(self, store: Store) -> None:
        """Together they are larger than the longest message that most servers accept."""
        imported = store.given_imported({"checkpoint": "x" * (MAXIMUM_PAYLOAD_BYTES - 2)} for _ in range(20))

        store.then_view(imported[-1]["id"])
        store.then_count()

    @clause("BAD-01")
    def test_a_bad_task_in_an_import_is_refused(self, store: Store) -> None:
        good = [task_of(store.fields(checkpoint="x" * 10)) for _ in range(3)]
        bad = task_of(store.fields(checkpoint={1: 2}))

        then_names("import", "checkpoint", None, lambda: store.manager.import_tasks([*good, bad]), PayloadError)

        demand("BAD-01", "the bad task", None, store.manager.get(bad.id))

    @clause("BAD-02")
    def test_text_that_no_task_can_have_finds_nothing(self, store: Store) -> None:
        store.given(task_key="job", user_id="u", organization_id=None)
        store.given(task_key="k" * 1_024, user_id="u" * 255)

        for text in ("job\x00", "\x00", "\ud800", "u\udfff", "k" * 1_025, "é" * 600, "u" * 256):
            for operation in LOOKUPS:
                store.then_lookup(operation, text)
            store.then_key("job", text if len(text.encode(errors="replace")) < 1_025 else "o" * 256)
        for number in (10**255, -(10**255)):
            store.then_user(number)
            store.then_key("job", number)
        demand("BAD-02", "a user of 5,000 digits", [], store.manager.list_user_tasks(10**5_000))

    @clause("BAD-02")
    def test_an_argument_of_a_wrong_type_is_an_empty_answer_with_an_error(self, store: Store) -> None:
        store.given(task_key="job")

        for wrong in (None, 1.5, True, b"job", ["job"], {"$ne": None}, object()):
            for operation in LOOKUPS:
                answer = getattr(tasks, operation)(wrong)
                demand("BAD-02", f"tasks.{operation}({wrong!r})", [], answer)
                found = isinstance(answer.error, InvalidInputError)
                demand("BAD-02", f"tasks.{operation}({wrong!r}).error is {answer.error!r}", True, found)

    @clause("BAD-03")
    def test_injection_texts_are_data(self, store: Store) -> None:
        texts = (
            "'; DROP TABLE tasks; --", "' OR '1'='1", '" OR ""="', "\\' OR 1=1 --", '{"$gt": ""}',
            "$where: sleep(100)", "*1\r\n$8\r\nFLUSHALL\r\n", "redis.call('FLUSHALL')",
            "]]..redis.call('FLUSHALL')..[[", "%s %d %(x)s {0} ${x} :x ?",
        )  # fmt: skip
        for text in texts:
            task = store.given(task_key=text, user_id=text, organization_id=text, module=text, label=text)
            store.when_updated(task["id"], status="running", label=f"{text}{text}", checkpoint={text: text}, error=text)

        for text in texts:
            store.then_key(text, text)
            store.then_prefix(text, text)
            store.then_user(text, text)
            for field in ("module", "label", "task_key", "user_id", "organization_id"):
                store.then_page({f"{field}__contains": text, f"{field}__startswith": text})
                store.then_page({field: text})
        store.then_all_views()


def create_from(store: Store, fields: dict[str, Any]) -> None:
    store.manager.create(task_of(fields))


def then_names(
    asked: str,
    field: str,
    maximum: int | None,
    call: Callable[[], object],
    error_type: type[InvalidInputError] = InvalidInputError,
) -> None:
    """Demand that the call raises an error that names the field and the maximum."""
    error = demand_error("BAD-01", asked, error_type, call)
    demand("BAD-01", f"the field that the error of {asked} names", field, error.field)
    demand("BAD-01", f"the maximum that the error of {asked} names", maximum, error.maximum)
