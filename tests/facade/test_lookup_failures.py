"""A manager that raises, returns garbage or hangs: the lookup returns an empty list in time (FAIL-02 to FAIL-06)."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from module_sdk_memory.manager import MemoryTaskManager

import module_sdk
from module_sdk import tasks
from module_sdk.domain.record import ROW_FIELDS
from module_sdk.domain.rows import LookupResult
from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.facade.lookups import MAXIMUM_UNBOUNDED_CALLS
from module_sdk.store.capabilities import Capabilities
from tests.support.lookups import SYNC, Lookup, each_lookup, real_empty
from tests.support.managers import InjectedManager, a_row, raising

ERRORS = [OSError("down"), RecursionError(), StopIteration(5), StopAsyncIteration(), TimeoutError("slow"), Warning("w")]
ERRORS += [TaskBackendError("refused"), TaskBackendUnavailableError("away")]


@each_lookup
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_of_the_manager_is_the_error_of_an_empty_list(name: str, lookup: Lookup, error: Exception) -> None:
    module_sdk.configure(manager=InjectedManager(raising(error)))
    result = lookup("k", 3)
    assert result == []
    assert result.error is error
    assert tasks.lookup_failures() == {name: 1}


@each_lookup
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupts_are_raised(name: str, lookup: Lookup, interrupt: type[BaseException]) -> None:
    module_sdk.configure(manager=InjectedManager(raising(interrupt())))
    with pytest.raises(interrupt):
        lookup("k", 3)
    assert tasks.lookup_failures() == {}


class EvilDict(dict[str, Any]):
    def keys(self) -> Any:
        raise KeyError("evil")


def without(field: str) -> dict[str, Any]:
    row: dict[str, Any] = a_row()
    del row[field]
    return row


GARBAGE: dict[str, Any] = {
    "None": None,
    "text": "rows",
    "bytes": b"rows",
    "number": 5,
    "a row": a_row(),
    "tuple": (a_row(),),
    "set": {1, 2},
    "generator": (row for row in [a_row()]),
    "iterator": iter([]),
    "rows of text": ["row"],
    "rows of None": [None],
    "a bad row among good ones": [a_row(), None, a_row()],
    "rows of tuples": [tuple(a_row().values())],
    "evil rows": [EvilDict(a_row())],
    "class": list,
} | {f"no {field}": [without(field)] for field in ROW_FIELDS}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", SYNC)
def test_an_answer_with_any_garbage_is_a_failure(name: str, garbage: str) -> None:
    module_sdk.configure(manager=InjectedManager(lambda *_: GARBAGE[garbage]))
    result = SYNC[name]("k", 3)
    assert result == []
    assert isinstance(result.error, Exception)
    assert not isinstance(result.error, TaskBackendUnavailableError)


def test_a_manager_without_the_method_is_a_failure_too() -> None:
    module_sdk.configure(manager=object())  # type: ignore[call-overload]  # wrong on purpose
    assert isinstance(tasks.list_user_tasks(1).error, AttributeError)


def test_a_failed_lookup_result_of_the_manager_is_a_failure() -> None:
    module_sdk.configure(manager=InjectedManager(lambda *_: LookupResult(error=OSError("inner"))))
    assert isinstance(tasks.list_user_tasks(1).error, OSError)


@pytest.mark.parametrize("operation", ["list_user_tasks", "get_tasks_by_key"])
def test_an_injected_manager_gets_the_arguments_unchanged(operation: str) -> None:
    manager = InjectedManager(lambda *_: [])
    module_sdk.configure(manager=manager)
    assert real_empty(SYNC[operation]("x", "y", limit=3))
    assert manager.calls == [(operation, "x", "y", 3)]


# --- Deadlines ------------------------------------------------------------------------------------------------------


class Hanging:
    """An injected manager whose lookups hang until `release` is set, and then answer."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.manager = InjectedManager(self.hang)

    def hang(self, *_: Any) -> Any:
        self.release.wait(30)
        return [a_row()]


@each_lookup
def test_no_answer_in_time_is_a_failure(name: str, lookup: Lookup) -> None:
    hanging = Hanging()
    module_sdk.configure(manager=hanging.manager, lookup_timeout_seconds=0.05)

    began = time.monotonic()
    result = lookup("k")

    assert isinstance(result.error, TaskBackendUnavailableError)
    assert time.monotonic() - began < 5
    hanging.release.set()


def test_a_late_answer_is_a_failure_and_the_next_answer_in_time_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a `TaskManager` that answers after the deadline
    manager = module_sdk.open_manager("memory://")
    original = manager.store_find_by_user
    module_sdk.configure(manager=manager, lookup_timeout_seconds=0.05)

    def late(*arguments: Any) -> Any:
        time.sleep(0.1)
        return original(*arguments)

    monkeypatch.setattr(manager, "store_find_by_user", late)
    assert isinstance(tasks.list_user_tasks(1).error, TaskBackendUnavailableError)
    monkeypatch.undo()
    assert real_empty(tasks.list_user_tasks(1))


def test_when_many_calls_hang_the_next_fails_at_once_until_they_return() -> None:
    # given as many hanging calls as are allowed
    hanging = Hanging()
    module_sdk.configure(manager=hanging.manager, lookup_timeout_seconds=20, breaker=False)
    callers = [threading.Thread(target=tasks.list_user_tasks, args=(1,)) for _ in range(MAXIMUM_UNBOUNDED_CALLS)]
    for caller in callers:
        caller.start()
    while len(hanging.manager.calls) < MAXIMUM_UNBOUNDED_CALLS:
        time.sleep(0.001)

    began = time.monotonic()
    result = tasks.list_user_tasks(1)

    assert isinstance(result.error, TaskBackendUnavailableError)
    assert time.monotonic() - began < 5
    assert len(hanging.manager.calls) == MAXIMUM_UNBOUNDED_CALLS
    hanging.release.set()
    for caller in callers:
        caller.join()
    assert len(tasks.list_user_tasks(1)) == 1


def test_a_lookup_waits_no_longer_than_its_deadline_while_another_caller_opens_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given an embedded store that another caller with a longer deadline is opening slowly
    manager = module_sdk.open_manager("memory://")
    opening, release = threading.Event(), threading.Event()

    def open_slowly(*_: Any) -> None:
        opening.set()
        release.wait(30)

    monkeypatch.setattr(manager, "store_open", open_slowly)
    module_sdk.configure(manager=manager, lookup_timeout_seconds=0.05)
    patient = threading.Thread(target=manager.ping)
    patient.start()
    opening.wait(10)

    began = time.monotonic()
    result = tasks.list_user_tasks(1)

    assert isinstance(result.error, TaskBackendUnavailableError)
    assert time.monotonic() - began < 5
    release.set()
    patient.join()
    assert real_empty(tasks.list_user_tasks(1))


# --- The thread of a lookup -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounded", [True, False])
def test_only_a_bounded_manager_is_called_in_the_callers_thread(bounded: bool) -> None:
    calls: list[tuple[threading.Thread, float]] = []

    class RecordingManager(MemoryTaskManager):
        capabilities = Capabilities(bounded=bounded)

        def store_find_by_user(self, *arguments: Any) -> Any:
            calls.append((threading.current_thread(), arguments[-1] - time.monotonic()))
            return super().store_find_by_user(*arguments)

    module_sdk.configure(manager=RecordingManager("memory://"), lookup_timeout_seconds=1.5)

    assert real_empty(tasks.list_user_tasks(1))

    # then a bounded manager gets the rest of the caller's timeout
    ((thread, seconds),) = calls
    assert (thread is threading.current_thread()) is bounded
    assert not bounded or 0 < seconds <= 1.5


def test_a_lookup_waits_for_a_connection_until_its_deadline_and_the_attempt_continues() -> None:
    # given a server that is slow to accept connections
    release = threading.Event()
    attempts: list[str] = []

    class Server(MemoryTaskManager):
        capabilities = Capabilities(server=True, bounded=True)

        def store_open(self, create: bool, deadline: float) -> None:
            attempts.append(threading.current_thread().name)
            release.wait(30)
            super().store_open(create, deadline)

    module_sdk.configure(manager=Server("memory://"), lookup_timeout_seconds=0.05, breaker=False)

    # when lookups are made meanwhile and fail
    results = [tasks.list_user_tasks(1) for _ in range(3)]

    # then they all shared one attempt
    assert {type(result.error) for result in results} == {TaskBackendUnavailableError}
    release.set()
    with module_sdk.session(user={"id": 1}):
        assert module_sdk.models.background_tasks.count() == 0
    assert real_empty(tasks.list_user_tasks(1))
    assert attempts == ["module-sdk-connect"]
