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
from module_sdk.facade.breaker import OPENS_AFTER
from tests.support.managers import InjectedManager, PingableManager, a_row, raising


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings every 50 ms instead of every second, for what is not about the second."""
    monkeypatch.setattr(breaker, "PING_SECONDS", 0.05)


def fail(times: int) -> None:
    for _ in range(times):
        assert tasks.list_user_tasks(1).error is not None


def until(condition: Any) -> float:
    """Seconds until it holds; at most ten."""
    began = time.monotonic()
    while not condition() and time.monotonic() - began < 10:
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_it_opens_after_five_failures_in_a_row_and_answers_at_once(asynchronous: bool) -> None:
    # given
    manager = PingableManager()
    module_sdk.configure(manager=manager)

    # when
    results = [
        asyncio.run(tasks.alist_user_tasks(1)) if asynchronous else tasks.list_user_tasks(1)
        for _ in range(OPENS_AFTER + 20)
    ]

    # then the store was asked five times, and every answer has an error
    assert len(manager.calls) == OPENS_AFTER == 5
    assert {type(result.error) for result in results} == {TaskBackendUnavailableError}
    assert tasks.lookup_failures() == {"list_user_tasks": 25}


def test_it_is_open_for_all_three_lookups() -> None:
    manager = PingableManager()
    module_sdk.configure(manager=manager)
    fail(OPENS_AFTER)
    assert tasks.get_tasks_by_key("k").error is not None
    assert tasks.get_tasks_by_key_prefix("k").error is not None
    assert len(manager.calls) == OPENS_AFTER


def test_it_pings_while_the_store_is_away_and_closes_soon_after_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    # given an open breaker, whose pings fail
    manager = PingableManager()
    module_sdk.configure(manager=manager)
    fail(OPENS_AFTER)
    assert until(lambda: manager.pings >= 1) < 3
    assert until(lambda: str(tasks.list_user_tasks(1).error) == "the store is still away") < 3

    # when
    manager.away = False

    # then within 1.5 s, with room for a busy machine
    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3
    assert len(tasks.list_user_tasks(1)) == 1
    assert "the store has failed 5 times in a row" in caplog.text
    assert "the store answers again" in caplog.text


@pytest.mark.usefixtures("quick_pings")
def test_a_ping_that_hangs_delays_recovery_by_no_more_than_itself() -> None:
    # given pings that hang until the store is back
    back = threading.Event()

    class Hanging(PingableManager):
        def ping(self) -> None:
            self.pings += 1
            back.wait(30)

    manager = Hanging()
    module_sdk.configure(manager=manager)
    fail(OPENS_AFTER)
    until(lambda: manager.pings >= 1)

    # when
    manager.away = False
    back.set()

    # then
    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3


@pytest.mark.usefixtures("quick_pings")
def test_a_ping_that_ends_in_an_interrupt_does_not_end_the_pinging() -> None:
    # given
    class Interrupted(PingableManager):
        def ping(self) -> None:
            self.pings += 1
            if self.away:
                raise SystemExit

    manager = Interrupted()
    module_sdk.configure(manager=manager)
    fail(OPENS_AFTER)
    until(lambda: manager.pings >= 1)

    # when
    manager.away = False

    # then
    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3


def test_deadlines_open_it() -> None:
    # given
    release = threading.Event()
    manager = InjectedManager(lambda *_: release.wait(30))
    manager.ping = lambda: release.wait(30)  # type: ignore[attr-defined]
    module_sdk.configure(manager=manager, lookup_timeout_seconds=0.02)

    # when
    fail(OPENS_AFTER + 5)

    # then
    assert len(manager.calls) == OPENS_AFTER
    release.set()


@pytest.mark.parametrize("error", [TaskBackendError("x"), OSError("x"), ValueError("x"), TimeoutError("x")], ids=repr)
def test_other_errors_of_a_manager_never_open_it(error: Exception) -> None:
    manager = InjectedManager(raising(error))
    module_sdk.configure(manager=manager)
    fail(4 * OPENS_AFTER)
    assert len(manager.calls) == 4 * OPENS_AFTER


def test_garbage_never_opens_it() -> None:
    manager = InjectedManager(lambda *_: "garbage")
    module_sdk.configure(manager=manager)
    fail(4 * OPENS_AFTER)
    assert len(manager.calls) == 4 * OPENS_AFTER


def test_wrong_arguments_never_open_it() -> None:
    # given
    manager = InjectedManager(lambda *_: [a_row()])
    module_sdk.configure(manager=manager)

    # when
    for _ in range(4 * OPENS_AFTER):
        assert tasks.list_user_tasks([]).error is not None  # type: ignore[arg-type]

    # then
    assert len(tasks.list_user_tasks(1)) == 1


def test_an_answer_between_failures_keeps_it_closed() -> None:
    # given
    manager = PingableManager()
    module_sdk.configure(manager=manager)

    # when
    for _ in range(4):
        manager.away = True
        fail(OPENS_AFTER - 1)
        manager.away = False
        assert len(tasks.list_user_tasks(1)) == 1

    # then
    assert len(manager.calls) == 4 * OPENS_AFTER


def test_it_can_be_turned_off() -> None:
    manager = PingableManager()
    module_sdk.configure(manager=manager, breaker=False)
    fail(4 * OPENS_AFTER)
    assert len(manager.calls) == 4 * OPENS_AFTER
    manager.away = False
    assert len(tasks.list_user_tasks(1)) == 1


@pytest.mark.usefixtures("quick_pings")
def test_a_manager_without_ping_is_tried_by_the_next_lookups() -> None:
    # given
    away = [True]

    def answer(*_: object) -> object:
        if away:
            raise TaskBackendUnavailableError("away")
        return [a_row()]

    module_sdk.configure(manager=InjectedManager(answer))
    fail(OPENS_AFTER + 1)

    # when
    away.clear()

    # then
    assert until(lambda: tasks.list_user_tasks(1).error is None) < 3


@pytest.mark.usefixtures("quick_pings")
def test_each_manager_has_its_own_and_replacing_one_ends_its_pings() -> None:
    # given an open breaker
    first = PingableManager()
    module_sdk.configure(manager=first)
    fail(OPENS_AFTER)

    # when
    module_sdk.configure(manager=InjectedManager(lambda *_: [a_row()]))

    # then
    assert len(tasks.list_user_tasks(1)) == 1
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "module-sdk-breaker"])
    assert not [thread for thread in threading.enumerate() if thread.name == "module-sdk-breaker"]


def test_writes_and_the_read_model_do_not_ask_the_breaker() -> None:
    # given a store that fails lookups alone
    manager = module_sdk.open_manager("memory://")
    module_sdk.configure(manager=manager)
    with pytest.MonkeyPatch.context() as patch, module_sdk.session(user={"id": 1}):
        patch.setattr(manager, "store_find_by_user", raising(TaskBackendUnavailableError("x")))
        fail(OPENS_AFTER + 1)

        # then
        assert module_sdk.models.background_tasks.list()["rows"] == []
        assert tasks.wait(tasks.run_background_sync(done()), 10)["status"] == "completed"


async def done() -> None: ...
