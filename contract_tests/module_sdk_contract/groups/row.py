"""ROW: rows, views and payloads."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from typing import Any, Final

from module_sdk.errors import PayloadError
from module_sdk_contract.calls import LOOKUPS
from module_sdk_contract.data.reference import ROW_FIELDS, STATUSES, VIEW_FIELDS
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import demand, demand_error

TEXTS: Final = (
    "", " ", "plain", "😀👩‍👩‍👧", "'\"`\\", "line\nbreak\r\n\ttab", "שלום\u202eabc", "\x01\x1f\x7f", "a\u0301",
    "\ufeffBOM", "\uffff", "\U0010ffff", "{}", "NULL", "%s", "a" * 1_024, "é" * 512, "😀" * 256,
)  # fmt: skip
PAYLOADS: Final[tuple[Any, ...]] = (
    0, 0.0, -0.0, 1, True, False, "", "0", [], {}, [[]], [{}], {"a": []}, [None], {"a": None}, "null",
    [0, 0.0, False, "", None],
    2**53 + 1, 2**63, -(2**63) - 1, 2**64, 2**80, 10**300, 0.1, 1e300, 5e-324, 1.7976931348623157e308, 1.0, 100.0, 1e16,
    {"z": 1, "a": 2, "m": {"y": 1, "b": 2}},
    {"$set": 1, "a.b": 2, "": 3, "__proto__": 4, "$": 5, ".": 6, "_id": 7, "a\x00b": 8, "😀": 9, "id": 10},
    {"deep": [[[[{"x": [1, [2, [3, {"y": None}]]]}]]]]},
    "lone \ud800 surrogate and NUL \x00",
    "é" * 5_000,
)  # fmt: skip


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Card:
    at: datetime.datetime
    tags: frozenset[str]


NOON: Final = datetime.datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=datetime.UTC)
NOON_TEXT: Final = "2024-02-29T12:00:00.000001Z"
# A payload as it is written, and the JSON that comes back.
CONVERTED_PAYLOADS: Final[tuple[tuple[Any, Any], ...]] = (
    (NOON, NOON_TEXT), ({"at": [NOON.date(), NOON.time()]}, {"at": ["2024-02-29", "12:00:00.000001"]}),
    (datetime.timedelta(days=1), "P1D"), (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ([decimal.Decimal("1.10")], ["1.10"]), (Colour.RED, "red"), ({"set": {"a"}}, {"set": ["a"]}),
    ((1, (2, {3})), [1, [2, [3]]]),
    (Card(NOON, frozenset({"x"})), {"at": NOON_TEXT, "tags": ["x"]}),
    ([NOON, 10**300, 0.1 + 0.2, {"z": 1, "a": None}], [NOON_TEXT, 10**300, 0.1 + 0.2, {"z": 1, "a": None}]),
)  # fmt: skip
REFUSED_PAYLOADS: Final[tuple[tuple[Any, str], ...]] = (
    ({"rows": [1, {"at": object()}]}, ".rows[1].at "), ([NOON, math.nan], "[1] "), ({"a": {1: NOON}}, ".a "),
    (Card(b"x", frozenset()), ".at "),  # type: ignore[arg-type]  # dataclasses do not check their values
)  # fmt: skip


class RowClauses:
    @clause("ROW-01")
    def test_a_row_has_the_ten_fields_in_plain_json(self, store: Store) -> None:
        store.given(task_key="job", user_id="ann", organization_id=7, progress=0.5, label="Export", module="reports")
        store.given(task_key=None, organization_id=7)

        for row in (*store.then_prefix("", 7), *store.then_user("ann", 7), *store.then_user(1, 7), *store.then_page()):
            assert sorted(row) == sorted(ROW_FIELDS)
            demand("ROW-01", "a row through JSON", row, json.loads(json.dumps(row)))

    @clause("ROW-02")
    def test_times_have_one_width_and_survive(self, store: Store) -> None:
        now = store.clock()
        for created_at in (now, now + 1, now + 1_000, now + 999_999, 0, -1, 1, now // 1_000_000 * 1_000_000):
            store.given(task_key="job", status="completed", created_at=created_at, updated_at=created_at + 10)

        for row in store.then_key("job"):
            for field in ("created_at", "updated_at"):
                assert len(row[field]) == 32
                assert row[field].endswith("+00:00")
        store.then_all_views()

    @clause("ROW-03")
    def test_progress_comes_back_bit_for_bit(self, store: Store) -> None:
        values = (0, 1, 0.1, 1 / 3, 0.1 + 0.2, 5e-324, math.nextafter(1, 0), 1e-17, 0.5)
        for value in values:
            store.given(progress=value)
            task = store.given(status="running")
            store.when_updated(task["id"], progress=value)

        store.then_user(1)
        store.then_all_views()

    @clause("ROW-04")
    def test_label_and_error_keep_any_text(self, store: Store) -> None:
        for text in TEXTS:
            store.given(label=text, status="failed", error=text or None)
            task = store.given(status="running")
            store.when_updated(task["id"], label=text)
            store.when_updated(task["id"], status="failed", error=f"ValueError: {text}")
        long_error = store.given(status="running")
        store.when_updated(long_error["id"], status="failed", error="😀" * 16_384)

        store.then_user(1)
        store.then_all_views()

    @clause("ROW-05")
    def test_changing_a_row_changes_nothing_else(self, store: Store) -> None:
        checkpoint = {"rows": [1, 2]}
        task = store.given(task_key="job", status="running", checkpoint=checkpoint)
        checkpoint["rows"].append(3)

        for operation in LOOKUPS:
            rows = getattr(store.manager, operation)(1 if operation == "list_user_tasks" else "job")
            rows[0]["status"] = "spoilt"
            rows[0].clear()
            rows.clear()
        view = store.manager.get(task["id"])
        assert view is not None
        view.checkpoint["rows"].append("spoilt")
        store.manager.page().clear()

        store.then_view(task["id"])
        store.then_user(1)
        store.then_prefix("job")
        store.then_page()

    @clause("ROW-06")
    def test_a_view_adds_six_fields(self, store: Store) -> None:
        store.given(checkpoint={"a": 1}, status="completed", result=[1], error="E: x", confirmation={"ask": 1})
        store.given()

        for task in store.reference.tasks:
            store.then_view(task["id"])
            found = store.manager.get(task["id"])
            assert found is not None
            assert sorted(found.to_view()) == sorted((*ROW_FIELDS, *VIEW_FIELDS))

    @clause("ROW-07")
    def test_payloads_come_back_as_themselves(self, store: Store) -> None:
        for payload in PAYLOADS:
            store.given(checkpoint=payload, confirmation=payload, arguments={"value": payload}, function="f")
            task = store.given(status="running")
            store.when_updated(task["id"], checkpoint=payload)
            store.when_updated(task["id"], status="completed", result=payload)
        absent = store.given(status="running", checkpoint=[1])
        store.when_updated(absent["id"], checkpoint=None)

        store.then_all_views()
        for entry in store.reference.tasks:
            found = store.manager.get(entry["id"])
            demand("ROW-07", f"arguments of {entry['id']}", entry["arguments"], found and found.arguments)

    @clause("ROW-02", "ROW-07")
    def test_every_field_survives_a_create_and_an_import(self, store: Store) -> None:
        now = store.clock()
        every = {
            "module": "r\u00e9ports😀", "label": "l\u0308abel", "progress": 1 / 3, "user_id": "ann",
            "organization_id": "a:b",
            "created_at": now - 7_000_001, "updated_at": now + 1, "started_at": now - 6_000_001, "finished_at": now,
            "checkpoint": {"a": [1.0]}, "result": [None], "error": "E: \U0001f600", "confirmation": {"ask": ""},
            "function": "reports.m\u00f6nthly", "arguments": {"value": 2**70},
        }  # fmt: skip
        for status in STATUSES:
            store.given(**every, status=status, task_key=f"created:{status}")
            store.given_imported([{**every, "status": status, "task_key": f"imported:{status}"}])

        store.then_all_views()
        for entry in store.reference.tasks:
            found = store.manager.get(entry["id"])
            assert found is not None
            for field in ("function", "arguments", "started_at", "finished_at"):
                demand("ROW-07", f"{field} of {entry['task_key']}", entry[field], getattr(found, field))

    @clause("ROW-07")
    def test_an_import_keeps_fields_that_only_some_of_its_records_have(self, store: Store) -> None:
        now = store.clock()
        some = {"started_at": now + 1, "finished_at": now + 2, "checkpoint": [1], "result": {"a": 1}, "error": "E: x"}
        some |= {"confirmation": [2], "function": "f", "arguments": [3], "task_key": "job"}
        store.given_imported(
            [
                {"status": "failed"},
                *({"status": "failed", name: value} for name, value in some.items()),
                {"status": "failed"},
            ]
        )

        store.then_all_views()
        for entry in store.reference.tasks:
            found = store.manager.get(entry["id"])
            for field in some:
                demand("ROW-07", f"{field} of {entry['id']}", entry[field], getattr(found, field))

    @clause("ROW-10")
    def test_a_value_that_is_not_plain_json_comes_back_as_pydantic_writes_it(self, store: Store) -> None:
        for value, expected in CONVERTED_PAYLOADS:
            asked = f"{value!a:.80}"
            task = task_of(store.fields(status="running", checkpoint=value, confirmation=value, arguments={"a": value}))
            created, _ = store.manager.create(task)
            demand("ROW-10", f"the task that is created with {asked}", store.manager.get(task.id), created)
            demand("ROW-10", f"arguments of {asked}", {"a": expected}, created.arguments)
            demand("ROW-10", f"checkpoint of {asked}", expected, created.checkpoint)
            demand("ROW-10", f"confirmation of {asked}", expected, created.confirmation)
            store.manager.update(task.id, checkpoint=[value])
            store.manager.update(task.id, status="completed", result=value)
            found = store.manager.get(task.id)
            demand("ROW-10", f"checkpoint changed to [{asked}]", [expected], found and found.checkpoint)
            demand("ROW-10", f"result of {asked}", expected, found and found.result)
            imported = task_of(store.fields(status="completed", result=value))
            store.manager.import_tasks([imported])
            found = store.manager.get(imported.id)
            demand("ROW-10", f"imported result of {asked}", expected, found and found.result)

    @clause("ROW-10")
    def test_a_value_that_cannot_be_json_is_refused_with_its_path(self, store: Store) -> None:
        task = store.given(status="running")
        for field in ("checkpoint", "result", "confirmation"):
            for value, path in REFUSED_PAYLOADS:
                asked = f"update({field}={value!a:.80})"
                error = demand_error("ROW-10", asked, PayloadError, store.manager.update, task["id"], **{field: value})
                demand("ROW-10", f"the path that {asked} names", f"{field}{path}", str(error)[: len(field + path)])
        store.then_all_views()

    @clause("ROW-08")
    def test_ids_come_back_canonical(self, store: Store) -> None:
        for identifier in ("7", 7, "007", "0", "-0", "-7", str(2**80), 2**80, "7.0", "٧"):
            store.given(user_id=identifier, organization_id=identifier)

        assert {row["user_id"] for row in store.then_user("7", "7")} == {7}
        for task in store.reference.tasks:
            store.then_user(task["user_id"], task["organization_id"])
        store.then_all_views()

    @clause("ROW-09")
    def test_a_lookup_reads_no_payloads(self, store: Store) -> None:
        store.given(task_key="job", checkpoint="x" * 100_000)

        for operation in LOOKUPS:
            sent = store.manager.explain(operation, 1 if operation == "list_user_tasks" else "job").fields
            demand("ROW-09", f"fields sent for {operation}", sorted(ROW_FIELDS), sorted(sent))
