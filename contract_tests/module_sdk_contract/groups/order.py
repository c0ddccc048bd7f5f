"""ORDER: order and limit."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import time
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import pytest

from module_sdk.backends import Task, TaskManager
from module_sdk.domain.timestamps import system_clock
from module_sdk.errors import InvalidInputError
from module_sdk.testing import SettableClock
from module_sdk_contract.calls import LOOKUPS
from module_sdk_contract.data.reference import time_text
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import demand, demand_error

HOUR: Final = 3_600_000_000
EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Tasks are written in this order, in which no field is sorted.
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
    """Demand the reference's answer from all three lookups, and return the rows of the lookup by user."""
    store.then_key("job", limit=limit)
    store.then_prefix("jo", limit=limit)
    return store.then_user(1, limit=limit)


def given_at(store: Store, *times: int) -> None:
    """Import tasks of one key with exactly these times, in this order; `create` would move each past the last one."""
    for created_at in times:
        store.given_imported([{"task_key": "job", "status": "completed", "created_at": created_at}])


def created_now(store: Store, manager: TaskManager | None = None, **fields: Any) -> Task:
    """Create a task and return it as the store recorded it; a read by id must return the same."""
    task, _ = (manager or store.manager).create(task_of(store.fields(**{"status": "completed", **fields})))
    demand(store.clauses[0], "the task that create returned, when it is read", task, store.manager.get(task.id))
    demand(store.clauses[0], "updated_at is not before created_at", True, task.updated_at >= task.created_at)
    return task


@contextlib.contextmanager
def host_clock_off(seconds: float) -> Iterator[None]:
    """Run the block with this process's clock off by so many seconds, and with no earlier time remembered."""
    right = time.time_ns
    off = round(seconds * 1_000_000_000)

    def wrong() -> int:
        return right() + off

    with mock.patch("time.time_ns", wrong), mock.patch.object(system_clock, "last", 0):
        yield


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
            # Created tasks keep their times as well if each has a key of its own.
            for step in SCRAMBLED:
                store.given(task_key=f"job:{base}:{step}", status="completed", created_at=base + step - 4)

        then_ordered(store)
        for limit in range(1, 48):
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
    def test_times_of_distant_years_sort(self, store: Store) -> None:
        far = [moment(text) for text in FAR_TIMES]
        given_at(store, *far, *(max(far) - 10 - step for step in SCRAMBLED))

        for limit in (None, *range(1, 20)):
            then_ordered(store, limit=limit)
        for direction in ("asc", "desc"):
            store.then_page(sort=("created_at", direction))
        for bound in (*far, max(far) - 13):
            for operator in ("gte", "lt"):
                store.then_page({f"created_at__{operator}": time_text(bound)})

    @clause("ORDER-08")
    def test_order_is_by_the_recorded_time_when_the_clock_goes_back(self, store: Store) -> None:
        for number, step in enumerate((0, -5, 3, -1_000, 2, 2, -5)):
            store.clock.advance(step)
            store.given(task_key="job", status="completed")
            store.given(task_key=f"job:{number}", status="completed")

        then_ordered(store)
        store.then_page(sort=("created_at", "desc"))

    @clause("ORDER-10")
    @pytest.mark.parametrize("status", ["completed", "failed", "interrupted", "running"])
    def test_a_new_task_is_later_than_the_earlier_ones_of_its_key(self, store: Store, status: str) -> None:
        latest = 0
        for seconds in (0, 0, -2, 3_600, -3_600, -0.000001, 3_601, 0, -86_400 / 4, -1_000_000 / 100):
            store.clock.advance(seconds)
            now = store.clock()

            task = created_now(store, task_key="job", organization_id=5, status=status)

            demand("ORDER-10", f"created_at by a clock of {now}", max(now, latest + 1), task.created_at)
            rows = store.manager.get_tasks_by_key("job", 5)
            demand("ORDER-10", "the first row is the new one", task.id, rows[0]["id"])
            if status == "running":
                store.manager.update(task.id, status="completed")
            latest = task.created_at

    @clause("ORDER-10")
    def test_a_new_task_is_later_even_if_the_clocks_of_hosts_differ(self, store: Store) -> None:
        store.need("shared")
        clocks = [SettableClock(time_text(store.clock() + hours * HOUR)) for hours in (1, -1, 0)]
        hosts = [store.open(clock=clock) for clock in clocks]
        latest = 0
        for number in range(12):
            clocks[number % 3].advance(0.5)
            now = clocks[number % 3]()
            fields = {"task_key": "job", "created_at": now, "started_at": now, "finished_at": now}

            task = created_now(store, hosts[number % 3], **fields)

            demand("ORDER-10", f"created_at on host {number % 3}", max(now, latest + 1), task.created_at)
            moved = (task.started_at, task.finished_at)
            demand("ORDER-10", "started_at and finished_at move along with created_at", (task.created_at,) * 2, moved)
            latest = task.created_at

    @clause("ORDER-10")
    def test_a_far_import_does_not_hide_the_earlier_tasks_of_a_key(self, store: Store) -> None:
        created_now(store, task_key="job", created_at=store.clock() + 7)
        given_at(store, moment(FAR_TIMES[1]), store.clock() + 24 * HOUR)

        for number in range(3):
            task = created_now(store, task_key="job")
            demand("ORDER-10", "created_at", store.clock() + 8 + number, task.created_at)

    @clause("ORDER-10")
    def test_creating_a_task_with_a_moved_time_again_returns_it_unchanged(self, store: Store) -> None:
        created_now(store, task_key="job")
        given = task_of(store.fields(task_key="job", checkpoint={"a": [1]}))

        first, again = store.manager.create(given), store.manager.create(given)

        demand("ORDER-10", "created_at", given.created_at + 1, first[0].created_at)
        demand("ORDER-10", "create again", first, again)
        demand("ORDER-10", "whether it was created", True, again[1])

    @clause("ORDER-11")
    def test_no_import_of_the_far_future_moves_a_new_task(self, store: Store) -> None:
        given_at(store, moment(FAR_TIMES[1]), store.clock() + 24 * HOUR, store.clock() + 366 * 24 * HOUR)

        task = created_now(store, task_key="job")

        demand("ORDER-11", "created_at after an import of 9999", store.clock(), task.created_at)

    @clause("ORDER-11")
    def test_no_other_key_or_organization_moves_a_new_task(self, store: Store) -> None:
        later = store.clock() + HOUR
        for number, (key, organization) in enumerate(
            (("job", 6), ("job", None), ("job:1", 5), ("jo", 5), ("JOB", 5), ("job ", 5), (None, 5), ("5", "job"))
        ):
            created_now(store, task_key=key, organization_id=organization, created_at=later + number)
        created_now(store, task_key="job", organization_id="5 ", created_at=later)

        task = created_now(store, task_key="job", organization_id=5)

        demand("ORDER-11", "created_at", store.clock(), task.created_at)
        for number in range(2):
            task = created_now(store, task_key=None, organization_id=5)
            demand("ORDER-11", f"created_at of task {number} with no key", store.clock(), task.created_at)

    @clause("ORDER-12")
    @pytest.mark.parametrize("hours", [24, -24, 1, -1])
    def test_the_times_of_a_write_keep_to_the_servers_clock(self, store: Store, hours: int) -> None:
        manager = store.open(clock=system_clock)
        given = store.fields(task_key="job", status="pending")
        with host_clock_off(hours * 3_600):
            now = system_clock()
            task, _ = manager.create(task_of({**given, "created_at": now, "updated_at": now}))
            manager.update(task.id, status="running")
            manager.update(task.id, status="completed")
            times = manager.get(task.id)
        here = time.time_ns() // 1_000

        assert times is not None
        for name in ("created_at", "updated_at", "started_at", "finished_at"):
            off = getattr(times, name) - here
            demand("ORDER-12", f"{name} is {off / 1e6:+} s off, less than a minute", True, abs(off) < HOUR / 60)
        demand("ORDER-12", "created_at as create returned it", task.created_at, times.created_at)

    @clause("ORDER-12")
    def test_a_manager_with_a_clock_of_its_own_keeps_its_times(self, store: Store) -> None:
        task = created_now(store, created_at=store.clock() - 24 * HOUR)

        demand("ORDER-12", "created_at by the manager's own clock", store.clock() - 24 * HOUR, task.created_at)
