"""Nothing tells a stranger's task from an id that does not exist: not even what its store sends (SCOPE-13)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from unittest import mock

import pytest
from module_sdk_contract.calls import UNKNOWN_ID
from module_sdk_contract.faults.fault_proxy import FaultProxy
from module_sdk_contract.groups.traffic import STRANGER, calls_by_id, then_as_much_travels

import module_sdk
from module_sdk import Task, TaskManager, tasks


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "valkey", "mongodb"])
def test_a_strangers_task_costs_what_an_unknown_id_costs(
    request: pytest.FixtureRequest,
    opened: Callable[..., TaskManager],
    namespace: str,
    new_task: Callable[..., Task],
    kind: str,
) -> None:
    # given a task of a hundred kilobytes in a store behind a proxy that counts, and a session of another organization
    proxy, url = FaultProxy.in_front_of(request.getfixturevalue(f"{kind}_url"))
    if kind == "mongodb":
        url += "?directConnection=true"
    with proxy:
        manager = opened(url, namespace=namespace)
        module_sdk.configure(manager=manager)
        task = new_task(organization_id=1, task_key="job", label="x" * 1_000, arguments="x" * 100_000)
        manager.create(task)
        with module_sdk.session(user={"id": 1, "organization_id": STRANGER}):
            # when each call by id asks for it, then it costs what an unknown id costs
            for name, call in calls_by_id(manager).items():
                then_as_much_travels(proxy, name, call, task.id)
        module_sdk.reset()
        manager.close()


def test_a_strangers_work_in_this_process_costs_what_an_unknown_id_costs() -> None:
    # given work of one organization that runs in this process
    module_sdk.configure(url="memory://")
    done = threading.Event()
    tasks.register("travelling.wait")(done.wait)
    with module_sdk.session(user={"id": 1, "organization_id": 1}):
        task_id = tasks.run_background_sync("travelling.wait")
    manager = module_sdk.facade.runtime.get_runtime().manager()
    asked = []
    # when a session of another organization reports on it, then the store is asked as for an unknown id
    with module_sdk.session(user={"id": 1, "organization_id": STRANGER}):
        for each in (task_id, UNKNOWN_ID):
            with mock.patch.object(manager, "get", wraps=manager.get) as get:
                tasks.emit_progress_sync(each, 0.5)
            asked.append(get.call_count)
    assert asked == [1, 1]
    done.set()
    tasks.shutdown()
