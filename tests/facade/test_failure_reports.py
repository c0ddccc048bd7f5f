"""Each failed lookup is counted, and logged once per burst, and leaks nothing (clauses FAIL-11, FAIL-13)."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace

import psutil
import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.domain.rows import LookupResult
from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.facade import lookup_failures
from tests.support.managers import Answer, InjectedManager


def test_a_burst_of_failures_is_one_line_per_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a clock that the test controls
    now = [1_000.0]
    monkeypatch.setattr(lookup_failures, "time", SimpleNamespace(monotonic=lambda: now[0]))
    error: list[Exception] = [OSError("down")]

    def answer(*_: object) -> object:
        raise error[0]

    module_sdk.configure(manager=InjectedManager(answer))

    def lines() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "module_sdk.tasks"]

    # when the same lookup fails repeatedly with the same type of error
    for _ in range(50):
        tasks.list_user_tasks(1)
    now[0] += 59.9
    tasks.list_user_tasks(1)

    # then there is one line, and one more for another lookup, for another type, and after a minute
    assert len(lines()) == 1
    assert "OSError: down" in caplog.text
    tasks.get_tasks_by_key("k")
    error[0] = ValueError("bad")
    tasks.list_user_tasks(1)
    assert len(lines()) == 3
    now[0] += 0.1
    error[0] = OSError("still down")
    tasks.list_user_tasks(1)
    assert "still down (50 more since the last report)" in lines()[-1].getMessage()
    assert tasks.lookup_failures() == {"list_user_tasks": 53, "get_tasks_by_key": 1}


def test_the_returned_counters_are_a_copy() -> None:
    module_sdk.configure(url=None)
    tasks.list_user_tasks(1)
    tasks.lookup_failures().clear()
    assert tasks.lookup_failures() == {"list_user_tasks": 1}


def resources() -> tuple[int, int]:
    return threading.active_count(), psutil.Process().num_fds()


def raising_new(kind: type[Exception]) -> Answer:
    def answer(*_: object) -> object:
        raise kind("down")

    return answer


def test_a_thousand_failures_leak_no_thread_descriptor_or_traceback() -> None:
    # given failures of four kinds: a manager that raises, an open breaker, a wrong argument, and no manager
    def a_thousand() -> list[LookupResult]:
        results = [tasks.list_user_tasks(1) for _ in range(990)]
        results += [tasks.list_user_tasks([]) for _ in range(5)]  # type: ignore[arg-type]
        return results + [asyncio.run(tasks.alist_user_tasks(1)) for _ in range(5)]

    for kind in (OSError, TaskBackendUnavailableError, None):
        manager = None if kind is None else InjectedManager(raising_new(kind))
        module_sdk.reset()
        module_sdk.configure(manager=manager, async_threads=1)
        a_thousand()
        before = resources()

        results = a_thousand()

        assert all(now <= then for now, then in zip(resources(), before, strict=True))
        assert all(result.error is not None for result in results)
        assert traceback_length(results[-1].error) < 50


def traceback_length(error: Exception | None) -> int:
    count, traceback = 0, error.__traceback__ if error is not None else None
    while traceback is not None:
        count, traceback = count + 1, traceback.tb_next
    return count


def test_a_configuration_error_can_be_reported_a_thousand_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODULE_SDK_TASKS_URL", "nope://")
    results = [tasks.list_user_tasks(1) for _ in range(1_000)]
    assert traceback_length(results[-1].error) < 50
