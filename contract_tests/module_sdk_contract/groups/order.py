"""ORDER: order and limit."""

from __future__ import annotations

import datetime
import itertools
from typing import Any, Final

import pytest

from module_sdk.errors import InvalidInputError
from module_sdk_contract.asking import LOOKUPS
from module_sdk_contract.harness import Store
from module_sdk_contract.marks import clause
from module_sdk_contract.reference import ROW_FIELDS, time_text
from module_sdk_contract.violations import demand_error

EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# The order in which tasks are written, which is that of no field.
SCRAMBLED: Final = (3, 0, 6, 1, 5, 2, 4, 7)

FAR_TIMES: Final = (
    "2038-01-19T03:14:07.999999+00:00",
    "9999-12-31T23:59:59.999999+00:00",
    "1969-12-31T23:59:59.999999+00:00",
    "2024-02-29T23:59:59.999999+00:00",
    "1970-01-01T00:00:00+00:00",
    "2024-03-01T00:00:00+00:00",
    "2038-01-19T03:14:08+00:00",
    "1969-07-20T20:17:40+00:00",
    "9999-12-31T23:59:59.999998+00:00",
    "2106-02-07T06:28:16+00:00",
    "2024-03-01T00:00:00.000001+00:00",
    "0001-01-01T00:00:00+00:00",
)


def moment(text: str) -> int:
    return (datetime.datetime.fromisoformat(text) - EPOCH) // datetime.timedelta(microseconds=1)


def then_ordered(store: Store, *, limit: int | None = None) -> list[dict[str, Any]]:
    """All three lookups answer like the reference; the rows by user."""
    store.then_key("job", limit=limit)
    store.then_prefix("jo", limit=limit)
    return store.then_user(1, limit=limit)


def given_at(store: Store, *times: int) -> None:
    """Tasks of one key with exactly these times, in this order: a new task would be put after those before it."""
    for created_at in times:
        store.given_imported([{"task_key": "job", "status": "completed", "created_at": created_at}])


class OrderClauses:
    @clause("ORDER-01")
    def test_the_newest_comes_first(self, store: Store) -> None:
        given_at(store, *(store.clock() + 1_000_000 * step for step in SCRAMBLED))

        times = [row["created_at"] for row in then_ordered(store)]

        assert times == sorted(times, reverse=True)

    @clause("ORDER-02")
    def test_one_microsecond_decides(self, store: Store) -> None:
        for border in (1_000, 1_000_000, 60_000_000):
            base = store.clock() // border * border
            given_at(store, *(base + step - 4 for step in SCRAMBLED))

        then_ordered(store)
        for limit in range(1, 24):
            then_ordered(store, limit=limit)

    @clause("ORDER-03")
    def test_equal_times_come_by_id_descending(self, store: Store) -> None:
        given_at(store, *itertools.repeat(store.clock(), 24))

        ids = [row["id"] for row in then_ordered(store)]

        assert ids == sorted(ids, reverse=True)
        for limit in (1, 2, 23):
            then_ordered(store, limit=limit)

    @clause("ORDER-04")
    def test_the_order_of_writing_does_not_matter(self, store: Store) -> None:
        now = store.clock()
        given_at(store, now + 2, now, now + 1)
        store.given_imported(
            {"task_key": "job", "status": "failed", "created_at": now + step} for step in (4, -1, 3, 1)
        )

        then_ordered(store)

    @clause("ORDER-05")
    def test_a_limit_keeps_the_newest(self, store: Store) -> None:
        given_at(store, *(store.clock() + step for step in SCRAMBLED))
        for index in SCRAMBLED:
            store.given(task_key=f"job:{index}", status="completed", created_at=store.clock() + index)

        for limit in (0, 1, 2, 7, 8, 9, 15, 16, 17, 1_000, 2**31, 2**32 + 1, 2**62, None):
            then_ordered(store, limit=limit)
        assert then_ordered(store, limit=0) == []

    @clause("ORDER-05")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_a_wrong_limit_is_refused(self, store: Store, operation: str) -> None:
        given_at(store, store.clock())
        ask = getattr(store.manager, operation)

        for argument in (1,) if operation == "list_user_tasks" else ("job", "", "j" * 2_000):
            for limit in (-1, True, False, 1.0, "1", float("nan"), [1]):
                asked = f"{operation}({argument!r}, limit={limit!r})"
                demand_error("ORDER-05", asked, InvalidInputError, ask, argument, limit=limit)

    @clause("ORDER-06")
    def test_an_update_moves_no_task(self, store: Store) -> None:
        ids = [store.given(task_key=f"job:{step}", created_at=store.clock() + step)["id"] for step in range(4)]
        store.clock.advance(60)

        for task_id in (ids[0], ids[2]):
            store.when_updated(task_id, status="running", progress=0.5, label="moved?")
        store.when_updated(ids[0], status="completed")

        assert [row["id"] for row in store.then_prefix("job")] == ids[::-1]
        store.then_user(1)

    @clause("ORDER-07")
    def test_far_times_sort(self, store: Store) -> None:
        far = [moment(text) for text in FAR_TIMES]
        given_at(store, *far, *(max(far) - 10 - step for step in SCRAMBLED))

        for limit in (None, *range(1, 20)):
            then_ordered(store, limit=limit)
        for direction in ("asc", "desc"):
            store.then_page(sort=("created_at", direction))
        for time in (*far, max(far) - 13):
            for operator in ("gte", "lt"):
                store.then_page({f"created_at__{operator}": time_text(time)})

    @clause("ORDER-08")
    def test_order_is_by_the_recorded_time_when_the_clock_goes_back(self, store: Store) -> None:
        for step in (0, -5, 3, -1_000, 2, 2, -5):
            store.clock.advance(step)
            store.given(task_key="job", status="completed")

        then_ordered(store)
        store.then_page(sort=("created_at", "desc"))

    @clause("ORDER-09")
    def test_pages_partition_the_set(self, store: Store) -> None:
        keys = (None, "", "é", "e\u0301", "Z", "a", "\uffff", "😀", "a ", "10", "9")
        store.given_imported(
            {
                "task_key": keys[index % 11],
                "status": ("completed", "failed", "interrupted")[index % 3],
                "user_id": (10, 9, "9a", -1)[index % 4],
                "organization_id": (None, 2, 10, "é")[index % 4],
                "label": keys[index % 5] or "x",
                "module": ("b", "B", "é")[index % 3],
                "progress": (0.5, 1.0, 0.25)[index % 3],
                "created_at": store.clock() + index % 4,
            }
            for index in range(33)
        )

        for sort in itertools.product(ROW_FIELDS, ("asc", "desc")):
            pages = [store.then_page(sort=sort, offset=offset, limit=5) for offset in range(0, 40, 5)]
            assert len({row["id"] for page in pages for row in page}) == 33
