"""How tests ask: scopes, sessions and arguments, for the manager and for the facade."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import module_sdk
from module_sdk_contract.reference import EVERYWHERE, ROW_FIELDS, VIEW_FIELDS, Row

LOOKUPS: Final = ("list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix")
UNKNOWN_ID: Final = "00000000-0000-7000-8000-000000000000"


def argument_of(operation: str) -> Any:
    """What finds, by each lookup, the tasks of user 1 with the key `job:1`."""
    return 1 if operation == "list_user_tasks" else "job:1"


def scope(organization_id: Any) -> dict[str, Any]:
    """The keyword argument of a manager's method: absent for every organization."""
    return {} if organization_id is EVERYWHERE else {"organization_id": organization_id}


def session_of(organization_id: Any) -> contextlib.AbstractContextManager[object]:
    """A session of that organization, or of all."""
    if organization_id is EVERYWHERE:
        return module_sdk.session(all_organizations=True)
    return module_sdk.session(user={"id": 1, "organization_id": organization_id})


def ordered_view(view: Mapping[str, Any]) -> Row:
    """The view with its fields in the order of the reference's, which no clause fixes."""
    known = {name: view[name] for name in (*ROW_FIELDS, *VIEW_FIELDS) if name in view}
    return {**known, **view}
