"""If no thread can be started, every call reports it, nothing hangs, and later calls work again."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
import time
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.facade.breaker import FAILURES_TO_OPEN
from module_sdk.facade.lookups import MAXIMUM_UNBOUNDED_CALLS
from module_sdk.store.capabilities import Capabilities
from module_sdk.store.watchdog import Watchdog
from module_sdk.testing import USER
from tests.support.managers import FaultyManager, InjectedManager, PingableManager, a_row
from tests.support.sample_work import Gate, add, get, is_closed


@dataclasses.dataclass
class Threads:
    """The threads that cannot be started: those whose names start with `refused`, at first all of ours."""

    refused: str | None = "module-sdk"


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    threads, start_thread = Threads(), threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if threads.refused is not None and thread.name.startswith(threads.refused):
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    return threads


def test_a_store_that_needs_a_thread_to_connect_works_once_threads_can_be_started(threads: Threads) -> None:
    # given a store behind a network
    class Server(FaultyManager):
        capabilities = Capabilities(server=True, bounded=True)

    module_sdk.configure(manager=Server())

    assert isinstance(tasks.list_user_tasks(7, 3).error, TaskBackendUnavailableError)
    threads.refused = None
    assert tasks.list_user_tasks(7, 3).error is None


def test_lookups_of_an_injected_manager_fail_one_by_one_and_work_again(threads: Threads) -> None:
    module_sdk.configure(manager=InjectedManager(lambda *_: [a_row()]), breaker=False)

    failed = [tasks.list_user_tasks(7, 3) for _ in range(2 * MAXIMUM_UNBOUNDED_CALLS)]

    assert {type(rows.error) for rows in failed} == {TaskBackendUnavailableError}
    threads.refused = None
    assert len(tasks.list_user_tasks(7, 3)) == 1


def test_a_breaker_without_a_thread_to_ping_stays_closed(threads: Threads) -> None:
    manager = PingableManager()
    module_sdk.configure(manager=manager)
    threads.refused = "module-sdk-breaker"
    for _ in range(FAILURES_TO_OPEN + 1):
        assert tasks.list_user_tasks(7, 3).error is not None

    manager.away = False

    # then the next lookup reaches the store
    assert tasks.list_user_tasks(7, 3).error is None


def test_async_calls_report_it_and_work_again(threads: Threads) -> None:
    module_sdk.configure(url="memory://")

    assert isinstance(asyncio.run(tasks.alist_user_tasks(7, 3)).error, TaskBackendUnavailableError)
    coroutine = add(1, 2)
    with module_sdk.session(user=USER):
        with pytest.raises(TaskBackendUnavailableError, match="can't start new thread"):
            asyncio.run(tasks.run_background(coroutine))
        with pytest.raises(TaskBackendUnavailableError):
            asyncio.run(module_sdk.models.background_tasks.alist())
    assert is_closed(coroutine)
    threads.refused = None
    assert asyncio.run(tasks.alist_user_tasks(7, 3)).error is None


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_work_that_gets_no_thread_fails_and_frees_its_key(
    threads: Threads, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = FaultyManager()
    module_sdk.configure(manager=manager)
    gate = Gate()
    gate.opened.set()
    tasks.register("gate")(gate.function)
    coroutine = gate.coroutine()

    with module_sdk.session(user=USER):
        task_id = tasks.run_background_sync(coroutine if form == "coroutine" else "gate", task_key="k")

        task = get(manager, task_id)
        assert task.status == "failed"
        assert "can't start new thread" in str(task.error)
        assert "can't start new thread" in caplog.text
        assert not gate.begun.is_set()
        threads.refused = None
        assert tasks.wait(gate.submit(form, task_key="k"), 10)["status"] == "completed"
    coroutine.close()


def test_a_pool_uses_its_existing_threads_if_no_more_can_be_started(threads: Threads) -> None:
    # given a pool with one thread, which is busy
    module_sdk.configure(url="memory://")
    threads.refused = None
    gate = Gate("first")
    with module_sdk.session(user=USER):
        first = gate.submit("function")
        threads.refused = "module-sdk"
        tasks.register("second")(lambda: "second")

        second = tasks.run_background_sync("second")
        gate.opened.set()

        results: list[Any] = [tasks.wait(task_id, 10)["result"] for task_id in (first, second)]
    assert results == ["first", "second"]


def test_a_watchdog_that_cannot_start_its_thread_raises_and_can_be_used_later(threads: Threads) -> None:
    # given a connection whose other end is silent
    watchdog = Watchdog()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # No thread would enforce the deadline, so the first call must raise; the second can start the thread.
        with pytest.raises(RuntimeError, match="can't start new thread"):
            watchdog.watch(ours.fileno())
        threads.refused = None
        watch = watchdog.watch(ours.fileno())
        watchdog.begin(watch, time.monotonic())

        assert ours.recv(1) == b""
        watchdog.end(watch)
        assert watch.was_shut
