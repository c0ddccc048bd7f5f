"""FAIL-08 and FAIL-11 to FAIL-14: recovery, reports, async versions, leaks and the breaker."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import InvalidInputError, TaskBackendError, TaskBackendUnavailableError
from module_sdk_contract.calls import LOOKUPS, argument_of
from module_sdk_contract.faults.failing_managers import FaultyManager, failing_primitives, hangs, raises, returns
from module_sdk_contract.groups.failure import FIND_PRIMITIVES, safe_lookup, then_failed
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import demand

AWAY_ERROR: Final = TaskBackendUnavailableError("the store is away")


class Observer:
    """An observer that records failures, and then raises if it is told to."""

    def __init__(self, *, raising: bool) -> None:
        self.raising = raising
        self.seen: list[tuple[str, Exception]] = []

    def module_sdk_lookup_failed(self, operation: str, error: Exception) -> None:
        self.seen.append((operation, error))
        if self.raising:
            raise RuntimeError("an observer that fails")


def safe_async(operation: str) -> Any:
    return getattr(tasks, f"a{operation}")(argument_of(operation))


def resource_counts() -> tuple[int, int]:
    """Return how many threads and open descriptors this process has."""
    return threading.active_count(), len(list(Path("/dev/fd").iterdir()))


def then_no_leak(what: str, before: tuple[int, int], *, grace: int = 2) -> None:
    """Demand that within three seconds threads and descriptors are at most `grace` more than before."""
    until = time.monotonic() + 3
    while time.monotonic() < until and any(
        now > then + grace for now, then in zip(resource_counts(), before, strict=True)
    ):
        time.sleep(0.02)
    for name, now, then in zip(("threads", "descriptors"), resource_counts(), before, strict=True):
        demand("FAIL-13", f"{name} before and after {what}: {then}, {now}", True, now <= then + grace)


class FailureModes:
    @tier("core")
    @clause("FAIL-08")
    def test_lookups_work_again_after_recovery(self, store: Store) -> None:
        store.given(task_key="job:1")
        manager = FaultyManager(store.manager)
        manager.always = raises(AWAY_ERROR)
        module_sdk.configure(manager=manager)
        for _ in range(20):
            then_failed("FAIL-08", "a lookup while the store is away", safe_lookup("get_tasks_by_key"), AWAY_ERROR)

        manager.always = None
        recovered = time.monotonic()
        while safe_lookup("get_tasks_by_key").error is not None and time.monotonic() < recovered + 4:
            time.sleep(0.01)

        taken = time.monotonic() - recovered
        demand("FAIL-08", f"lookups work within 1.5 s, after {taken:.2f} s", True, taken < 1.5)
        for operation in LOOKUPS:
            store.then_lookup(operation, argument_of(operation))

    @clause("FAIL-08")
    def test_the_manager_works_again_after_its_driver_failed(self, store: Store) -> None:
        store.given(task_key="job:1")
        with failing_primitives(store.manager, *FIND_PRIMITIVES, "store_create"):
            for _ in range(20):
                then_failed("FAIL-08", "a lookup", safe_lookup("get_tasks_by_key"), TaskBackendError)

        store.given(task_key="job:2")
        store.then_prefix("job")

    @clause("FAIL-11")
    @pytest.mark.parametrize("raising", [False, True])
    def test_failures_reach_log_counter_and_hook(
        self, store: Store, caplog: pytest.LogCaptureFixture, raising: bool
    ) -> None:
        observer, later = Observer(raising=raising), Observer(raising=False)
        module_sdk.register_observer(observer)
        module_sdk.register_observer(later)
        error = RuntimeError("the cause")
        manager = FaultyManager(store.manager)
        manager.always = raises(error)
        module_sdk.configure(manager=manager, breaker=False)

        with caplog.at_level(logging.WARNING, logger="module_sdk.tasks"):
            for operation in LOOKUPS * 10:
                then_failed("FAIL-11", operation, safe_lookup(operation), error)

        reports = [record.getMessage() for record in caplog.records if "the cause" in record.getMessage()]
        demand("FAIL-11", f"lines logged for 30 failures of 3 lookups: {reports}", 3, len(reports))
        counted = tasks.lookup_failures()
        demand("FAIL-11", "lookup_failures()", [10, 10, 10], [counted.get(operation) for operation in LOOKUPS])
        for name, seen in (("the observer", observer.seen), ("the next one", later.seen)):
            demand("FAIL-11", f"{name} saw", [(operation, error) for operation in LOOKUPS * 10], seen)

    @clause("FAIL-12")
    def test_async_versions_answer_the_same(self, store: Store) -> None:
        for number in range(3):
            for organization in (None, 7):
                fields = {"organization_id": organization, "created_at": store.clock() + number}
                store.given(task_key="job:1", status="completed", **fields)

        for operation in LOOKUPS:
            answer = asyncio.run(safe_async(operation))
            demand("FAIL-12", f"a{operation}", store.then_lookup(operation, argument_of(operation)), answer)
            demand("FAIL-12", f"a{operation}.error", None, answer.error)
            for organization, limit in ((7, None), (None, 2), (7, 1)):
                lookup = getattr(tasks, f"a{operation}")(argument_of(operation), organization, limit=limit)
                expected = store.then_lookup(operation, argument_of(operation), organization, limit=limit)
                demand("FAIL-12", f"a{operation} in {organization}, limit={limit}", expected, asyncio.run(lookup))
        module_sdk.configure(manager=FaultyManager(store.manager, *[raises(AWAY_ERROR)] * 3, *[returns(None)] * 3))
        for operation in LOOKUPS:
            then_failed("FAIL-12", f"a{operation}", asyncio.run(safe_async(operation)), AWAY_ERROR)
        for operation in LOOKUPS:
            then_failed("FAIL-12", f"a{operation}", asyncio.run(safe_async(operation)), TaskBackendError)
        module_sdk.configure(url=None)
        for operation in LOOKUPS:
            then_failed("FAIL-12", f"a{operation}", asyncio.run(safe_async(operation)), RuntimeError)

    @clause("FAIL-12")
    def test_async_versions_never_block_the_loop(self, store: Store) -> None:
        store.given(task_key="job:1")
        gate = threading.Event()
        # The manager hangs until the event loop opens the gate, which a blocked loop never does.
        manager = FaultyManager(store.manager, *[hangs(gate)] * 3)
        module_sdk.configure(manager=manager, lookup_timeout_seconds=3, breaker=False)

        async def ask_and_open() -> list[tasks.LookupResult]:
            asked = [asyncio.ensure_future(safe_async(operation)) for operation in LOOKUPS]
            while manager.calls.total() < 3:
                await asyncio.sleep(0.005)
            gate.set()
            return [await answer for answer in asked]

        for answer in asyncio.run(ask_and_open()):
            # Each lookup got garbage once the gate was open; behind a blocked loop it would have reached its deadline.
            demand("FAIL-12", "the error of each answer", TaskBackendError.__name__, type(answer.error).__name__)

    @tier("core")
    @clause("FAIL-13")
    def test_failures_leak_nothing(self, store: Store) -> None:
        store.given(task_key="job:1")
        manager = FaultyManager(store.manager)
        manager.always = raises(RuntimeError("x"))

        def fail_often(count: int) -> None:
            module_sdk.configure(manager=manager, breaker=False)
            for number in range(count):
                safe_lookup(LOOKUPS[number % 3])
            store.use_facade(breaker=False)
            with failing_primitives(store.manager, *FIND_PRIMITIVES):
                for number in range(count):
                    safe_lookup(LOOKUPS[number % 3])

        fail_often(30)
        before = resource_counts()
        fail_often(500)

        then_no_leak("a thousand failures", before)
        store.then_key("job:1")

    @clause("FAIL-13")
    def test_managers_that_are_opened_and_closed_leak_nothing(self, store: Store) -> None:
        def open_and_close(count: int) -> None:
            for _ in range(count):
                manager = store.open()
                manager.list_user_tasks(1)
                manager.close()

        open_and_close(5)
        before = resource_counts()
        open_and_close(30)

        then_no_leak("30 managers", before)

    @tier("core")
    @clause("FAIL-14")
    def test_the_breaker_opens_and_closes_by_itself(self, store: Store) -> None:
        store.given(task_key="job:1")
        manager = FaultyManager(store.manager)
        manager.always = raises(AWAY_ERROR)
        module_sdk.configure(manager=manager)
        for _ in range(5):
            then_failed("FAIL-14", "a lookup before it opens", safe_lookup("list_user_tasks"), AWAY_ERROR)

        for _ in range(50):
            then_failed("FAIL-14", "a lookup while it is open", safe_lookup("list_user_tasks"), AWAY_ERROR)
        demand("FAIL-14", "lookups that reached the manager", 5, manager.calls["list_user_tasks"])
        manager.always = None
        recovered = time.monotonic()
        while safe_lookup("list_user_tasks").error is not None and time.monotonic() < recovered + 4:
            time.sleep(0.01)

        demand("FAIL-14", "the manager was pinged", True, manager.calls["ping"] >= 1)
        store.then_user(1)

    @clause("FAIL-14")
    def test_deadlines_open_the_breaker(self, store: Store) -> None:
        gate = threading.Event()
        manager = FaultyManager(store.manager)
        manager.always = hangs(gate)
        module_sdk.configure(manager=manager, lookup_timeout_seconds=0.05)

        for _ in range(20):
            then_failed("FAIL-14", "a lookup", safe_lookup("list_user_tasks"), TaskBackendUnavailableError)
        gate.set()

        demand("FAIL-14", "lookups that reached the manager", 5, manager.calls["list_user_tasks"])

    @clause("FAIL-14")
    def test_other_failures_never_open_the_breaker(self, store: Store) -> None:
        wrong = InvalidInputError("wrong", field="user_id")
        faults = [raises(wrong), returns(None), raises(RuntimeError("x")), raises(TaskBackendError("x"))]
        manager = FaultyManager(store.manager, *faults * 5)
        module_sdk.configure(manager=manager)
        for _ in range(20):
            then_failed("FAIL-14", "a lookup", safe_lookup("list_user_tasks"), Exception)

        answer = safe_lookup("list_user_tasks")

        demand("FAIL-14", "lookups that reached the manager", 21, manager.calls["list_user_tasks"])
        demand("FAIL-14", "the error of a lookup that works", None, answer.error)
