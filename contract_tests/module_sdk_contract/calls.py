"""Scopes, sessions and arguments for the calls of tests, on the manager and on the facade."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import module_sdk
from module_sdk.backends import TaskManager
from module_sdk_contract.data.reference import EVERYWHERE, ROW_FIELDS, VIEW_FIELDS, Row
from module_sdk_contract.factories import task_of

if TYPE_CHECKING:
    from module_sdk_contract.harness import Store

LOOKUPS: Final = ("list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix")
UNKNOWN_ID: Final = "00000000-0000-7000-8000-000000000000"


def argument_of(operation: str) -> Any:
    """Return the argument with which the lookup finds the tasks of user 1 that have the key `job:1`."""
    return 1 if operation == "list_user_tasks" else "job:1"


def scope(organization_id: Any) -> dict[str, Any]:
    """Return the keyword argument of a manager's method; no argument means every organization."""
    return {} if organization_id is EVERYWHERE else {"organization_id": organization_id}


def session_of(organization_id: Any) -> contextlib.AbstractContextManager[object]:
    """Return a session of that organization, or of all organizations for `EVERYWHERE`."""
    if organization_id is EVERYWHERE:
        return module_sdk.session(all_organizations=True)
    return module_sdk.session(user={"id": 1, "organization_id": organization_id})


def ordered_view(view: Mapping[str, Any]) -> Row:
    """Return the view with its fields in the order of the reference's views. No clause prescribes an order."""
    known = {name: view[name] for name in (*ROW_FIELDS, *VIEW_FIELDS) if name in view}
    return {**known, **view}


def every_call(store: Store, manager: TaskManager, task_id: str) -> dict[str, Callable[..., object]]:
    """Return each call of the manager that uses the store, by name. Every call accepts `timeout_seconds`."""
    calls: dict[str, Callable[..., object]] = {
        "ping": manager.ping,
        "diagnose": manager.diagnose,
        "list_user_tasks": functools.partial(manager.list_user_tasks, 1),
        "get_tasks_by_key": functools.partial(manager.get_tasks_by_key, "job"),
        "get_tasks_by_key_prefix": functools.partial(manager.get_tasks_by_key_prefix, "j"),
        "get": functools.partial(manager.get, task_id),
        "page": manager.page,
        "count": manager.count,
        "create": functools.partial(manager.create, task_of(store.fields(task_key="one more"))),
        "create without a key": functools.partial(manager.create, task_of(store.fields(checkpoint=[1]))),
        "import_tasks": functools.partial(manager.import_tasks, [task_of(store.fields())]),
        "update": functools.partial(manager.update, task_id, label="changed"),
        "interrupt_all": functools.partial(manager.interrupt_all, [task_id], "ended"),
        "prune": functools.partial(manager.prune, 0),
    }
    if manager.capabilities.explain:
        calls["explain"] = functools.partial(manager.explain, "list_user_tasks", 1)
    return calls
