"""Signal handlers that raise or make a call themselves, between any two steps of a call.

These are regression tests: interrupts once lost slots of the pools and left locks locked.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import module_sdk
from module_sdk import Task, TaskManager, open_manager, tasks
from module_sdk.errors import TaskBackendUnavailableError
from tests.support.interruption import AtLine, Interrupt, TimeLimitError, in_a_thread, raising
from tests.support.managers import InjectedManager

CONNECTIONS: Final = 2
SERVERS: Final = {
    "postgresql": "postgresql_url",
    "mariadb": "mariadb_url",
    "redis": "valkey_url",
    "mongodb": "mongodb_url",
}
STORM: Final = Path(__file__).parents[1] / "support" / "interrupt_storm.py"
# How many lines of opening a store are interrupted: each takes a connection or two.
MAXIMUM_LINES: Final = 150
# The number of signals per store; `INTERRUPTS=50000 pytest …` sends more.
INTERRUPTS: Final = os.environ.get("INTERRUPTS", "3000")


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'tasks.db'}"}
    return urls.get(request.param) or str(request.getfixturevalue(SERVERS[request.param]))


@pytest.fixture
def manager(url: str, namespace: str) -> Iterator[TaskManager]:
    with contextlib.closing(open_manager(url, namespace=namespace, max_connections=CONNECTIONS)) as opened:
        opened.setup()
        yield opened


def keyed_task(key: str) -> Task:
    return Task.new(user_id=7, organization_id=3, module="tests", task_key=key)


def free_slots(manager: Any) -> list[tuple[int, int]]:
    """Return the number of free slots and of all slots, for each pool of the manager."""
    pools: list[Any] = []
    if hasattr(manager, "workers"):
        pools.append(manager.workers.slots)
    pool = getattr(manager, "pool", None)
    if pool is not None:
        pools += [pool.slots] if hasattr(pool, "slots") else [each.slots for each in pool.pools.values()]
        if getattr(pool, "writers", None) is not None:
            pools.append(pool.writers.leading)
    pools.append(manager.opening.turn)
    return [(slots.free, slots.number) for slots in pools]


def interrupted(call: Callable[[], object], at_line: AtLine, kind: type[BaseException]) -> None:
    with contextlib.suppress(kind, module_sdk.ModuleSDKError), at_line:
        call()


def all_is_free(manager: TaskManager) -> bool:
    """Return whether all slots are free within 5 seconds: a detached worker returns its slot by itself."""
    end = time.monotonic() + 5
    while any(free != number for free, number in free_slots(manager)):
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


@pytest.mark.parametrize("kind", [Interrupt, TimeLimitError])
@pytest.mark.parametrize("operation", ["look up", "update", "create", "page", "import"])
def test_no_interrupt_loses_a_slot(manager: TaskManager, operation: str, kind: type[BaseException]) -> None:
    # given a task, and a call
    task, _ = manager.create(keyed_task("job"))
    numbers = itertools.count()
    calls: dict[str, Callable[[], object]] = {
        "look up": lambda: manager.get_tasks_by_key("job", 3),
        "update": lambda: manager.update(task.id, organization_id=3, progress=0.5, checkpoint=[1]),
        "create": lambda: manager.create(keyed_task(f"job {next(numbers)}")),
        "page": lambda: manager.page(organization_id=3),
        "import": lambda: manager.import_tasks([keyed_task(f"import {next(numbers)}")]),
    }

    # when it is interrupted before each of its lines, one after another
    for line in itertools.count(1):
        at_line = AtLine(line, raising(kind))
        call = functools.partial(interrupted, calls[operation], at_line, kind)
        # Objects that an exception in a trace function keeps alive are destroyed only with its thread.
        call() if manager.url.scheme == "memory" else in_a_thread(call)
        if not at_line.was_reached:
            break

        # then every slot is free again, and calls work at once
        assert all_is_free(manager), (at_line.location, free_slots(manager))
        assert manager.get_tasks_by_key("job", 3, timeout_seconds=5)[0]["id"] == task.id, at_line.location
        assert manager.update(task.id, organization_id=3, progress=0.25, timeout_seconds=5), at_line.location
    assert line > 10


def test_a_store_opens_after_any_interrupt_of_opening_it(url: str, namespace: str) -> None:
    for line in itertools.count(1):
        with contextlib.closing(open_manager(url, namespace=namespace, max_connections=CONNECTIONS)) as manager:
            # given a manager whose first call is interrupted
            at_line = AtLine(line, raising(Interrupt))
            in_a_thread(functools.partial(interrupted, lambda: manager.list_user_tasks(7, 3), at_line, Interrupt))
            # then the next one opens the store
            assert manager.list_user_tasks(7, 3, timeout_seconds=5) == [], at_line.location
            assert all_is_free(manager), at_line.location
            if not at_line.was_reached:
                break
    assert line > 10


# --- Calls in a signal handler ----------------------------------------------------------------------------------------


def away(*question: Any) -> Any:
    raise TaskBackendUnavailableError("the store is away")


def look_up_and_fail() -> None:
    """Make a lookup, and one that fails and is reported, as a signal handler might."""
    started = time.monotonic()
    tasks.get_tasks_by_key("job", 3)
    tasks.list_user_tasks([])  # type: ignore[arg-type]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("argument", ["job", []], ids=["succeeds", "fails"])
def test_a_lookup_that_is_interrupted_by_lookups_returns(url: str, namespace: str, argument: Any) -> None:
    # given a configured store with a task
    module_sdk.configure(url=url, namespace=namespace, max_connections=CONNECTIONS, lookup_timeout_seconds=0.5)
    manager = module_sdk.facade.runtime.get_runtime().manager()
    manager.create(keyed_task("job"))

    # when a lookup is interrupted before each of its lines by a handler that makes two more
    for line in itertools.count(1):
        at_line = AtLine(line, look_up_and_fail)
        with at_line:
            result = tasks.get_tasks_by_key(argument, 3)
        if not at_line.was_reached:
            break

        # then it still returns its answer
        assert (len(result), result.error is None) == ((1, True) if argument == "job" else (0, False)), at_line.location
        assert all_is_free(manager), at_line.location
    assert line > 10


def test_a_lookup_of_an_unavailable_store_that_is_interrupted_by_lookups_returns() -> None:
    # given a manager whose store is away, and four failures, after which the fifth opens the breaker
    for line in itertools.count(1):
        module_sdk.configure(manager=InjectedManager(away), lookup_timeout_seconds=0.5)
        for _ in range(4):
            tasks.get_tasks_by_key("job", 3)
        # when the fifth lookup is interrupted before each of its lines
        at_line = AtLine(line, look_up_and_fail)
        with at_line:
            result = tasks.get_tasks_by_key("job", 3)
        # then it fails as without an interrupt
        assert isinstance(result.error, TaskBackendUnavailableError), at_line.location
        if not at_line.was_reached:
            break
    assert line > 10


def test_a_first_lookup_that_is_interrupted_by_lookups_returns(url: str, namespace: str) -> None:
    for line in itertools.count(1):
        # given a store that is not open yet
        module_sdk.configure(url=url, namespace=namespace, max_connections=CONNECTIONS, lookup_timeout_seconds=0.3)
        # when lookups interrupt the opening, then these may fail, but the next lookup does not
        at_line = AtLine(line, look_up_and_fail)
        with at_line:
            tasks.get_tasks_by_key("job", 3)
        result = tasks.get_tasks_by_key("job", 3)
        if result.error is not None and url.startswith(("memory", "sqlite")):
            raise AssertionError(at_line.location) from result.error
        if not at_line.was_reached or line > MAXIMUM_LINES:
            break
    assert line > 10


def test_a_write_in_a_signal_handler_is_stored_or_refused(manager: TaskManager) -> None:
    # given a task, and a signal handler that creates other tasks
    task, _ = manager.create(keyed_task("job"))
    acknowledged: list[str] = []

    def create() -> None:
        with contextlib.suppress(TaskBackendUnavailableError):
            created, _ = manager.create(keyed_task(f"other {len(acknowledged)}"), timeout_seconds=0.2)
            acknowledged.append(created.id)

    # when updates are interrupted before each of their lines
    for line in itertools.count(1):
        at_line = AtLine(line, create)
        with at_line:
            assert manager.update(task.id, organization_id=3, progress=line / 1_000) is not None
        if not at_line.was_reached:
            break
        assert manager.get_tasks_by_key("job", 3)[0]["progress"] == line / 1_000, at_line.location

    # then every acknowledged task is stored
    assert acknowledged
    assert {row["id"] for row in manager.list_user_tasks(7, 3)} == {task.id, *acknowledged}


# --- Real signals -----------------------------------------------------------------------------------------------------


def test_a_storm_of_signals_loses_neither_slots_nor_acknowledged_writes(url: str, namespace: str) -> None:
    # given a process whose calls are interrupted repeatedly by a signal handler that raises
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(STORM), url, namespace, INTERRUPTS],
        capture_output=True,
        text=True,
        timeout=100 + int(INTERRUPTS) / 50,
        check=False,
    )
    # then its calls work afterwards, and no acknowledged write is lost
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["all is well"]), done.stdout + done.stderr


def test_a_cycle_of_causes_and_contexts_does_not_hang_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    # The frames of an error and of its chain are cleared. The first version of that code did not end at a cycle.
    def fail(*arguments: object) -> int:
        outer, inner = TaskBackendUnavailableError("outer"), ValueError("inner")
        outer.__cause__, inner.__context__ = inner, outer
        raise outer

    with contextlib.closing(open_manager("memory://")) as manager:
        monkeypatch.setattr(manager, "store_count", fail)

        with pytest.raises(TaskBackendUnavailableError, match="outer"):
            manager.count()
