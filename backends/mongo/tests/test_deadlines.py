"""Every primitive ends by its deadline on a bad network, including connecting and closing.

Tests that apply to all stores are in `tests/outages/test_server_faults.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from module_sdk_contract.faults.fault_proxy import FaultProxy, Kind
from module_sdk_mongo.manager import MongoTaskManager

import module_sdk
from module_sdk.backends import Task, TaskBackendUnavailableError

Opener = Callable[..., MongoTaskManager]
TaskMaker = Callable[..., Task]
Call = Callable[..., object]

SECONDS: Final = 1.0
GRACE_SECONDS: Final = 1.0

FAULTS: Final[dict[str, tuple[Kind, dict[str, Any]]]] = {
    "black hole": (Kind.BLACK_HOLE, {}),
    "drip": (Kind.DRIP, {"seconds": 0.05}),
    "cut": (Kind.CUT, {"size": 20}),
}
CALLS: Final[dict[str, Call]] = {
    "ping": lambda manager, task, **late: manager.ping(**late),
    "create": lambda manager, task, **late: manager.create(task, **late),
    "import": lambda manager, task, **late: manager.import_tasks([task], **late),
    "get": lambda manager, task, **late: manager.get(task.id, **late),
    "user": lambda manager, task, **late: manager.list_user_tasks(1, 7, **late),
    "key": lambda manager, task, **late: manager.get_tasks_by_key("job:1", 7, **late),
    "prefix": lambda manager, task, **late: manager.get_tasks_by_key_prefix("job", 7, limit=1, **late),
    "update": lambda manager, task, **late: manager.update(task.id, progress=0.5, **late),
    "page": lambda manager, task, **late: manager.page(offset=1, **late),
    "count": lambda manager, task, **late: manager.count(**late),
    "prune": lambda manager, task, **late: manager.prune(0, **late),
    "diagnose": lambda manager, task, **late: manager.diagnose(**late),
}


@pytest.fixture
def network(mongodb_url: str) -> Iterator[FaultProxy]:
    proxy, _ = FaultProxy.in_front_of(mongodb_url, 27017)
    with proxy:
        yield proxy


@pytest.fixture
def manager(network: FaultProxy, opener: Opener) -> MongoTaskManager:
    """A manager with one connection, which reaches the server through the faulty network."""
    return opener(f"mongodb://127.0.0.1:{network.port}/?directConnection=true", max_connections=1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_ends_by_its_deadline(
    call: str, fault: str, network: FaultProxy, manager: MongoTaskManager, new_task: TaskMaker
) -> None:
    # given a manager with an open connection
    task = new_task(task_key="job:1")
    manager.create(task)

    # when the network fails
    kind, how = FAULTS[fault]
    network.set(kind, **how)
    started = time.monotonic()
    with pytest.raises(TaskBackendUnavailableError):
        CALLS[call](manager, task, timeout_seconds=SECONDS)

    # then the call ends in time
    assert time.monotonic() - started < SECONDS + GRACE_SECONDS


@pytest.mark.parametrize("fault", FAULTS)
def test_a_first_call_ends_by_its_deadline(fault: str, network: FaultProxy, manager: MongoTaskManager) -> None:
    # given a network that fails from the start
    kind, how = FAULTS[fault]
    network.set(kind, **how)

    # when a lookup runs on a store that was never reached
    started = time.monotonic()
    then_late(manager, SECONDS)

    # then it ends in time
    assert time.monotonic() - started < SECONDS + GRACE_SECONDS


def test_waiting_for_a_connection_ends_by_the_deadline(network: FaultProxy, manager: MongoTaskManager) -> None:
    # given a manager whose only connection is waiting for a reply
    manager.setup()
    network.set(Kind.BLACK_HOLE)
    holder = threading.Thread(target=then_late, args=(manager, 4 * SECONDS))
    holder.start()
    time.sleep(SECONDS / 2)

    # when another call needs that connection
    started = time.monotonic()
    then_late(manager, SECONDS)

    # then that call ends by its own deadline
    assert time.monotonic() - started < SECONDS + GRACE_SECONDS
    holder.join()


def test_lookups_work_again_after_the_driver_has_given_up_on_the_server(
    network: FaultProxy, manager: MongoTaskManager
) -> None:
    # given a server that is silent for so long that the driver's monitoring notices
    manager.setup()
    module_sdk.configure(manager=manager, lookup_timeout_seconds=0.5)
    network.set(Kind.SWALLOW)
    client = manager.connection.database.client
    end = time.monotonic() + 30
    while client.topology_description.has_readable_server():
        assert module_sdk.tasks.list_user_tasks(1, 7).error is not None
        assert time.monotonic() < end
        time.sleep(0.05)

    # when the network recovers
    network.set(Kind.NONE)
    recovered = time.monotonic()
    while module_sdk.tasks.list_user_tasks(1, 7).error is not None:
        assert time.monotonic() - recovered < 10
        time.sleep(0.02)

    # then lookups work again within 1.5 s, as the contract promises; the rest allows for a busy machine
    assert time.monotonic() - recovered < 1.5 + GRACE_SECONDS
    module_sdk.reset()


def test_closing_does_not_wait_for_a_silent_server(network: FaultProxy, manager: MongoTaskManager) -> None:
    # given an open manager, and a server that has fallen silent
    manager.setup()
    network.set(Kind.BLACK_HOLE)

    # when the manager is closed
    started = time.monotonic()
    manager.close()

    # then closing ends in time
    assert time.monotonic() - started < SECONDS + GRACE_SECONDS


def then_late(manager: MongoTaskManager, timeout_seconds: float) -> None:
    with pytest.raises(TaskBackendUnavailableError):
        manager.list_user_tasks(1, 7, timeout_seconds=timeout_seconds)
