"""The circuit breaker of the lookups (clauses FAIL-08, 14)."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.facade import breaker
from module_sdk.facade.breaker import FAILURES_TO_OPEN
from tests.support.managers import InjectedManager, PingableManager, a_row, raising


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ping every 50 ms instead of every second, in tests that do not depend on the second."""
    monkeypatch.setattr(breaker, "PING_SECONDS", 0.05)


def fail(times: int) -> None:
    for _ in range(times):
        assert tasks.list_user_tasks(1).error is not None


def until(condition: Any) -> float:
    """Wait until `condition` is true, at most ten seconds, and return the seconds that it took."""
    began = time.monotonic()
    while not condition() and time.monotonic() - began < 10:
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_the_breaker_opens_after_five_failures_in_a_row_and_lookups_fail_at_once(asynchronous: bool) -> None:
    manager = PingableManager()
    module_sdk.configure(manager=manager)

    results = [
        asyncio.run(tasks.alist_user_tasks(1)) if asynchronous else tasks.list_user_tasks(1)
        for _ in range(FAILURES_TO_OPEN + 20)
    ]

    # then the store was called five times, and every lookup returned an error
    assert len(manager.calls) == FAILURES_TO_OPEN == 5
    assert {type(result.error) for result in results} == {TaskBackendUnavailableError}
    assert tasks.lookup_failures() == {"list_user_tasks": 25}


def test_an_open_breaker_applies_to_all_three_lookups() -> None:
    manager = PingableManager()
    module_sdk.configure(manager=manager)
    fail(FAILURES_TO_OPEN)
    assert tasks.get_tasks_by_key("k").error is not None
    assert tasks.get_tasks_by_key_prefix("k").error is not None
    assert len(manager.calls) == FAILURES_TO_OPEN


def test_an_open_breaker_pings_the_store_and_closes_soon_after_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    # given an open breaker whose pings fail
    manager = PingableManager()
    module_sdk.configure(manager=manager)
    fail(FAILURES_TO_OPEN)
    assert until(lambda: manager.pings >= 1) < 3
    assert until(lambda: str(tasks.list_user_tasks(1).error) == "the store is still away") < 3

    manager.away = False

    # then lookups work within 1.5 s; the test allows 3 s for a busy machine
    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3
    assert len(tasks.list_user_tasks(1)) == 1
    assert "the store has failed 5 times in a row" in caplog.text
    assert "the store answers again" in caplog.text


@pytest.mark.usefixtures("quick_pings")
def test_a_ping_that_hangs_delays_recovery_only_while_it_hangs() -> None:
    # given pings that hang until the store is back
    back = threading.Event()

    class Hanging(PingableManager):
        def ping(self) -> None:
            self.pings += 1
            back.wait(30)

    manager = Hanging()
    module_sdk.configure(manager=manager)
    fail(FAILURES_TO_OPEN)
    until(lambda: manager.pings >= 1)

    manager.away = False
    back.set()

    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3


@pytest.mark.usefixtures("quick_pings")
def test_a_ping_that_ends_in_an_interrupt_does_not_end_the_pinging() -> None:
    class Interrupted(PingableManager):
        def ping(self) -> None:
            self.pings += 1
            if self.away:
                raise SystemExit

    manager = Interrupted()
    module_sdk.configure(manager=manager)
    fail(FAILURES_TO_OPEN)
    until(lambda: manager.pings >= 1)

    manager.away = False

    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3


def test_missed_deadlines_open_the_breaker() -> None:
    release = threading.Event()
    manager = InjectedManager(lambda *_: release.wait(30))
    manager.ping = lambda: release.wait(30)  # type: ignore[attr-defined]
    module_sdk.configure(manager=manager, lookup_timeout_seconds=0.02)

    fail(FAILURES_TO_OPEN + 5)

    assert len(manager.calls) == FAILURES_TO_OPEN
    release.set()


@pytest.mark.parametrize("error", [TaskBackendError("x"), OSError("x"), ValueError("x"), TimeoutError("x")], ids=repr)
def test_other_errors_of_a_manager_never_open_the_breaker(error: Exception) -> None:
    manager = InjectedManager(raising(error))
    module_sdk.configure(manager=manager)
    fail(4 * FAILURES_TO_OPEN)
    assert len(manager.calls) == 4 * FAILURES_TO_OPEN


def test_invalid_rows_never_open_the_breaker() -> None:
    manager = InjectedManager(lambda *_: "garbage")
    module_sdk.configure(manager=manager)
    fail(4 * FAILURES_TO_OPEN)
    assert len(manager.calls) == 4 * FAILURES_TO_OPEN


def test_invalid_arguments_never_open_the_breaker() -> None:
    manager = InjectedManager(lambda *_: [a_row()])
    module_sdk.configure(manager=manager)

    for _ in range(4 * FAILURES_TO_OPEN):
        assert tasks.list_user_tasks([]).error is not None  # type: ignore[arg-type]

    assert len(tasks.list_user_tasks(1)) == 1


def test_a_success_between_failures_keeps_the_breaker_closed() -> None:
    manager = PingableManager()
    module_sdk.configure(manager=manager)

    for _ in range(4):
        manager.away = True
        fail(FAILURES_TO_OPEN - 1)
        manager.away = False
        assert len(tasks.list_user_tasks(1)) == 1

    assert len(manager.calls) == 4 * FAILURES_TO_OPEN


def test_the_breaker_can_be_turned_off() -> None:
    manager = PingableManager()
    module_sdk.configure(manager=manager, breaker=False)
    fail(4 * FAILURES_TO_OPEN)
    assert len(manager.calls) == 4 * FAILURES_TO_OPEN
    manager.away = False
    assert len(tasks.list_user_tasks(1)) == 1


@pytest.mark.usefixtures("quick_pings")
def test_a_manager_without_ping_is_tried_by_later_lookups() -> None:
    away = [True]

    def answer(*_: object) -> object:
        if away:
            raise TaskBackendUnavailableError("away")
        return [a_row()]

    module_sdk.configure(manager=InjectedManager(answer))
    fail(FAILURES_TO_OPEN + 1)

    away.clear()

    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3


@pytest.mark.usefixtures("quick_pings")
def test_each_manager_has_its_own_breaker_and_replacing_it_ends_its_pings() -> None:
    # given an open breaker
    first = PingableManager()
    module_sdk.configure(manager=first)
    fail(FAILURES_TO_OPEN)

    module_sdk.configure(manager=InjectedManager(lambda *_: [a_row()]))

    assert len(tasks.list_user_tasks(1)) == 1
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "module-sdk-breaker"])
    assert not [thread for thread in threading.enumerate() if thread.name == "module-sdk-breaker"]


def test_writes_and_the_read_model_bypass_the_breaker() -> None:
    # given a store that fails only lookups
    manager = module_sdk.open_manager("memory://")
    module_sdk.configure(manager=manager)
    with pytest.MonkeyPatch.context() as patch, module_sdk.session(user={"id": 1}):
        patch.setattr(manager, "store_find_by_user", raising(TaskBackendUnavailableError("x")))
        fail(FAILURES_TO_OPEN + 1)

        assert module_sdk.models.background_tasks.list()["rows"] == []
        assert tasks.wait(tasks.run_background_sync(done()), 10)["status"] == "completed"


async def done() -> None: ...
