"""A signal's handler that raises, or that makes a call itself, between any two steps of a call.

On the old code each of these tests failed: places of the pools were lost, and locks were left held.
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
# Of opening a store: each takes a connection or two.
MAXIMUM_LINES: Final = 150
# Each store gets so many signals here; `INTERRUPTS=50000 pytest …` sends more.
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


def free_places(manager: Any) -> list[tuple[int, int]]:
    """How many places each pool of the manager has free, and how many in all."""
    pools: list[Any] = []
    if hasattr(manager, "workers"):
        pools.append(manager.workers.slots)
    pool = getattr(manager, "pool", None)
    if pool is not None:
        pools += [pool.slots] if hasattr(pool, "slots") else [links.slots for links in pool.links.values()]
        if getattr(pool, "writers", None) is not None:
            pools.append(pool.writers.leading)
    pools.append(manager.opening.turn)
    return [(places.free, places.number) for places in pools]


def interrupted(call: Callable[[], object], at_line: AtLine, kind: type[BaseException]) -> None:
    with contextlib.suppress(kind, module_sdk.ModuleSDKError), at_line:
        call()


def all_is_free(manager: TaskManager) -> bool:
    """Whether it is within a moment: a thread that was left behind gives its place back by itself."""
    end = time.monotonic() + 5
    while any(free != number for free, number in free_places(manager)):
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


@pytest.mark.parametrize("kind", [Interrupt, TimeLimitError])
@pytest.mark.parametrize("operation", ["look up", "update", "create", "page", "import"])
def test_no_interrupt_uses_a_place_up(manager: TaskManager, operation: str, kind: type[BaseException]) -> None:
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
        # What an exception of a trace function leaves behind lives as long as its thread.
        call() if manager.url.scheme == "memory" else in_a_thread(call)
        if not at_line.was_reached:
            break

        # then every place is free again, and calls work at once
        assert all_is_free(manager), (at_line.place, free_places(manager))
        assert manager.get_tasks_by_key("job", 3, timeout_seconds=5)[0]["id"] == task.id, at_line.place
        assert manager.update(task.id, organization_id=3, progress=0.25, timeout_seconds=5), at_line.place
    assert line > 10


def test_no_interrupt_of_opening_keeps_the_store_closed(url: str, namespace: str) -> None:
    for line in itertools.count(1):
        with contextlib.closing(open_manager(url, namespace=namespace, max_connections=CONNECTIONS)) as manager:
            # given a manager whose first call is interrupted
            at_line = AtLine(line, raising(Interrupt))
            in_a_thread(functools.partial(interrupted, lambda: manager.list_user_tasks(7, 3), at_line, Interrupt))
            # then the next one opens the store
            assert manager.list_user_tasks(7, 3, timeout_seconds=5) == [], at_line.place
            assert all_is_free(manager), at_line.place
            if not at_line.was_reached:
                break
    assert line > 10


# --- Calls that a handler makes ---------------------------------------------------------------------------------------


def away(*question: Any) -> Any:
    raise TaskBackendUnavailableError("the store is away")


def look_up_and_fail() -> None:
    """What a handler does: a lookup, and one that fails and is reported."""
    started = time.monotonic()
    tasks.get_tasks_by_key("job", 3)
    tasks.list_user_tasks([])  # type: ignore[arg-type]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("argument", ["job", []], ids=["succeeds", "fails"])
def test_a_lookup_inside_another_comes_back(url: str, namespace: str, argument: Any) -> None:
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

        # then it has its answer all the same
        assert (len(result), result.error is None) == ((1, True) if argument == "job" else (0, False)), at_line.place
        assert all_is_free(manager), at_line.place
    assert line > 10


def test_a_lookup_inside_one_of_a_store_that_is_away_comes_back() -> None:
    # given a manager whose store is away, and the breaker that opens for it
    for line in itertools.count(1):
        module_sdk.configure(manager=InjectedManager(away), lookup_timeout_seconds=0.5)
        for _ in range(4):
            tasks.get_tasks_by_key("job", 3)
        # when the fifth failure is interrupted before each of its lines
        at_line = AtLine(line, look_up_and_fail)
        with at_line:
            result = tasks.get_tasks_by_key("job", 3)
        # then it fails as it would have, and in time
        assert isinstance(result.error, TaskBackendUnavailableError), at_line.place
        if not at_line.was_reached:
            break
    assert line > 10


def test_a_first_lookup_inside_a_first_lookup_comes_back(url: str, namespace: str) -> None:
    for line in itertools.count(1):
        # given a store that is not open yet
        module_sdk.configure(url=url, namespace=namespace, max_connections=CONNECTIONS, lookup_timeout_seconds=0.3)
        # when opening it is interrupted by lookups, then those may fail, and the next ones do not
        at_line = AtLine(line, look_up_and_fail)
        with at_line:
            tasks.get_tasks_by_key("job", 3)
        result = tasks.get_tasks_by_key("job", 3)
        if result.error is not None and url.startswith(("memory", "sqlite")):
            raise AssertionError(at_line.place) from result.error
        if not at_line.was_reached or line > MAXIMUM_LINES:
            break
    assert line > 10


def test_writes_that_a_handler_makes_are_kept_or_refused(manager: TaskManager) -> None:
    # given a task, and a handler that creates others
    task, _ = manager.create(keyed_task("job"))
    kept: list[str] = []

    def create() -> None:
        with contextlib.suppress(TaskBackendUnavailableError):
            kept.append(manager.create(keyed_task(f"other {len(kept)}"), timeout_seconds=0.2)[0].id)

    # when updates are interrupted before each of their lines
    for line in itertools.count(1):
        at_line = AtLine(line, create)
        with at_line:
            assert manager.update(task.id, organization_id=3, progress=line / 1_000) is not None
        if not at_line.was_reached:
            break
        assert manager.get_tasks_by_key("job", 3)[0]["progress"] == line / 1_000, at_line.place

    # then each task that was acknowledged is there
    assert kept
    assert {row["id"] for row in manager.list_user_tasks(7, 3)} == {task.id, *kept}


# --- Real signals -----------------------------------------------------------------------------------------------------


def test_a_storm_of_signals_uses_nothing_up(url: str, namespace: str) -> None:
    # given a process whose calls are interrupted again and again by a handler that raises
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(STORM), url, namespace, INTERRUPTS],
        capture_output=True,
        text=True,
        timeout=100 + int(INTERRUPTS) / 50,
        check=False,
    )
    # then all works afterwards, and nothing that was acknowledged is lost
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["all is well"]), done.stdout + done.stderr


def test_errors_that_refer_to_each_other_are_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    # The frames of an error, and of all that led to it, are cleared: on the first such code this went on without end.
    def fail(*arguments: object) -> int:
        outer, inner = TaskBackendUnavailableError("outer"), ValueError("inner")
        outer.__cause__, inner.__context__ = inner, outer
        raise outer

    with contextlib.closing(open_manager("memory://")) as manager:
        monkeypatch.setattr(manager, "store_count", fail)

        with pytest.raises(TaskBackendUnavailableError, match="outer"):
            manager.count()
