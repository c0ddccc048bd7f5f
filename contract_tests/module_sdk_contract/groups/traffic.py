"""SCOPE-13: a call on another organization's task sends as many bytes as one on an unknown id."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import module_sdk
from module_sdk import tasks
from module_sdk.backends import TaskManager
from module_sdk.errors import TaskNotFoundError
from module_sdk.models import background_tasks
from module_sdk_contract.calls import UNKNOWN_ID
from module_sdk_contract.faults.fault_proxy import FaultProxy
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import demand

STRANGER: Final = 2
LARGE: Final = "x" * 100_000
# Drivers and pools sometimes send requests of their own; the minimum over several calls excludes these.
MINIMUM_ROUNDS: Final = 3
MAXIMUM_ROUNDS: Final = 20

Call = Callable[[str], object]


def calls_by_id(manager: TaskManager) -> dict[str, Call]:
    """Return every call of the manager and the facade that takes the id of a task, by name."""
    scope: dict[str, Any] = {"organization_id": STRANGER}
    return {
        "manager.get": lambda task_id: manager.get(task_id, **scope),
        "manager.update, progress": lambda task_id: manager.update(task_id, progress=0.5, **scope),
        "manager.update, payload": lambda task_id: manager.update(task_id, checkpoint=[1], **scope),
        "manager.update, status": lambda task_id: manager.update(task_id, status="completed", result=1, **scope),
        "manager.page": lambda task_id: manager.page(filters={"id": task_id}, **scope),
        "manager.count": lambda task_id: manager.count(filters={"id": task_id}, **scope),
        "view": background_tasks.view,
        "cancel": tasks.cancel,
        "wait": lambda task_id: tasks.wait(task_id, 0.1),
        "update_progress": lambda task_id: tasks.update_progress_sync(task_id, 0.5),
        "emit_progress": lambda task_id: tasks.emit_progress_sync(task_id, 0.5),
        "respond_confirmation": lambda task_id: tasks.respond_confirmation(task_id, {}),
        "request_confirmation": lambda task_id: tasks.request_confirmation_sync(task_id, {}),
    }


class TravelClauses:
    @clause("SCOPE-13")
    def test_another_organizations_task_costs_what_an_unknown_id_costs(self, store: Store) -> None:
        # given a large task of one organization, and a session of another
        proxy, url = store.proxied_url()
        manager = store.open(url=url)
        module_sdk.configure(manager=manager, lookup_timeout_seconds=30)
        task = store.given(organization_id=1, task_key="job", status="running", label=LARGE[:1_000], checkpoint=LARGE)
        with module_sdk.session(user={"id": 1, "organization_id": STRANGER}):
            for name, call in calls_by_id(manager).items():
                # when the session asks for that task and for an unknown id, then both send the same number of bytes
                then_as_much_travels(proxy, name, call, task["id"])
        store.then_view(task["id"])


def then_as_much_travels(proxy: FaultProxy, name: str, call: Call, task_id: str) -> None:
    # The first call is not counted, since it may prepare statements or scripts.
    bytes_of_call(proxy, call, UNKNOWN_ID)
    least: dict[str, tuple[int, int]] = {}
    for number in range(MAXIMUM_ROUNDS):
        for asked in (UNKNOWN_ID, task_id):
            now = bytes_of_call(proxy, call, asked)
            least[asked] = min(least.get(asked, now), now)
        if number >= MINIMUM_ROUNDS and least[task_id] == least[UNKNOWN_ID]:
            break
    demand("SCOPE-13", f"bytes sent and received by {name}", least[UNKNOWN_ID], least[task_id])


def bytes_of_call(proxy: FaultProxy, call: Call, task_id: str) -> tuple[int, int]:
    """Make one call, and return the bytes of its requests and of its replies."""
    before = proxy.requested, proxy.replied
    with contextlib.suppress(TaskNotFoundError):
        call(task_id)
    return proxy.requested - before[0], proxy.replied - before[1]
