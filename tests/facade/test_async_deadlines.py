"""The timeout of an async call begins when the call is made, not when a thread is free for it.

Earlier versions let 100 callers of a store that hangs for half a second wait for twelve seconds, and made every write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from module_sdk_memory.manager import MemoryTaskManager

import module_sdk
from module_sdk import Task, models, tasks
from module_sdk.backends import Change, ManagerOptions, Query, Sort, StoredRows, TaskBackendUnavailableError, TaskRecord
from tests.support.sample_work import add

CALLERS: Final = 100
TIMEOUT_SECONDS: Final = 0.5
# One call that runs for the timeout, and a margin for slow machines. All calls one after another would take 12 s.
LONGEST_SECONDS: Final = 5.0


class HangingStore(MemoryTaskManager):
    """A store that, while `hangs` is true, lets every call fail at its deadline, as a stopped server does."""

    hangs = False

    def hang(self, deadline: float) -> None:
        if self.hangs:
            time.sleep(max(0.0, deadline - time.monotonic()))
            raise TaskBackendUnavailableError("the store has stopped")

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        self.hang(deadline)
        return super().store_get(task_id, organization, deadline)

    def store_update(self, task_id: str, organization: str | None, change: Change, deadline: float) -> Any:
        self.hang(deadline)
        return super().store_update(task_id, organization, change, deadline)

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.hang(deadline)
        return super().store_create(record, deadline)

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        self.hang(deadline)
        return super().store_page(query, sort, offset, limit, deadline)


@pytest.fixture
def hanging() -> HangingStore:
    manager = HangingStore("memory://", ManagerOptions(timeout_seconds=TIMEOUT_SECONDS))
    module_sdk.configure(manager=manager, async_threads=4, lookup_timeout_seconds=TIMEOUT_SECONDS)
    return manager


def a_task() -> Task:
    return Task.new(user_id=7, organization_id=3, module="tests")


CALLS: Final[dict[str, Callable[[str], Awaitable[object]]]] = {
    "aview": models.background_tasks.aview,
    "alist": lambda task_id: models.background_tasks.alist(),
    "acancel": tasks.acancel,
    "update_progress": lambda task_id: tasks.update_progress(task_id, 0.5),
    "await_task": lambda task_id: tasks.await_task(task_id, TIMEOUT_SECONDS),
    "run_background": lambda task_id: tasks.run_background(add(1, 2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_caller_waits_longer_than_its_timeout(hanging: HangingStore, name: str) -> None:
    # given a store that has stopped, and many more callers than threads
    task, _ = hanging.create(a_task())
    hanging.hangs = True

    async def ask() -> tuple[object, float]:
        started = time.monotonic()
        try:
            outcome: object = await CALLS[name](task.id)
        except Exception as error:
            outcome = error
        return outcome, time.monotonic() - started

    async def ask_at_once() -> list[tuple[object, float]]:
        return await asyncio.gather(*(ask() for _ in range(CALLERS)))

    # when all of them call at once
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        outcomes = asyncio.run(ask_at_once())
    hanging.hangs = False

    # then each gets the error in time that the store is away
    assert {type(outcome) for outcome, _ in outcomes} == {TaskBackendUnavailableError}
    assert max(seconds for _, seconds in outcomes) < LONGEST_SECONDS


def test_a_write_that_gets_no_thread_in_time_is_not_made(hanging: HangingStore) -> None:
    # given that all threads are busy
    created = [hanging.create(a_task())[0] for _ in range(CALLERS)]
    busy, _ = hanging.create(a_task())
    hanging.hangs = True

    async def cancel_all() -> list[object]:
        blocking = [asyncio.ensure_future(models.background_tasks.aview(busy.id)) for _ in range(4)]
        await asyncio.sleep(TIMEOUT_SECONDS / 4)
        cancelling = [asyncio.ensure_future(tasks.acancel(task.id)) for task in created]
        outcomes = await asyncio.gather(*cancelling, return_exceptions=True)
        await asyncio.gather(*blocking, return_exceptions=True)
        return list(outcomes)

    # when tasks are cancelled meanwhile, and the store comes back after all deadlines
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        outcomes = asyncio.run(cancel_all())
        hanging.hangs = False
        time.sleep(TIMEOUT_SECONDS)
        statuses = [status_of(task.id) for task in created]

    # then the writes that failed were not made
    assert all(isinstance(outcome, TaskBackendUnavailableError) for outcome in outcomes)
    assert statuses == ["pending"] * CALLERS


def status_of(task_id: str) -> str:
    view = models.background_tasks.view(task_id)
    assert view is not None
    return str(view["status"])
