"""A task of another organization is indistinguishable from an unknown id, even by network traffic (SCOPE-13)."""

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
def test_a_task_of_another_organization_causes_the_same_traffic_as_an_unknown_id(
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
            # when each call by id asks for it, then the traffic is that of an unknown id
            for name, call in calls_by_id(manager).items():
                then_as_much_travels(proxy, name, call, task.id)
        module_sdk.reset()
        manager.close()


def test_running_work_of_another_organization_causes_the_same_reads_as_an_unknown_id() -> None:
    # given work of one organization in this process
    module_sdk.configure(url="memory://")
    done = threading.Event()
    tasks.register("travelling.wait")(done.wait)
    with module_sdk.session(user={"id": 1, "organization_id": 1}):
        task_id = tasks.run_background_sync("travelling.wait")
    manager = module_sdk.facade.runtime.get_runtime().manager()
    reads = []
    # when a session of another organization reports progress on it, then the store is read as for an unknown id
    with module_sdk.session(user={"id": 1, "organization_id": STRANGER}):
        for reported_id in (task_id, UNKNOWN_ID):
            with mock.patch.object(manager, "get", wraps=manager.get) as get:
                tasks.emit_progress_sync(reported_id, 0.5)
            reads.append(get.call_count)
    assert reads == [1, 1]
    done.set()
    tasks.shutdown()
