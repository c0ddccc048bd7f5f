"""The six lookups of the facade, for tests that apply to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from module_sdk import tasks
from module_sdk.domain.rows import LookupResult

Lookup = Callable[..., LookupResult]
SYNC: dict[str, Lookup] = {
    "list_user_tasks": tasks.list_user_tasks,
    "get_tasks_by_key": tasks.get_tasks_by_key,
    "get_tasks_by_key_prefix": tasks.get_tasks_by_key_prefix,
}
ASYNC: dict[str, Lookup] = {
    "list_user_tasks": lambda *a, **k: asyncio.run(tasks.alist_user_tasks(*a, **k)),
    "get_tasks_by_key": lambda *a, **k: asyncio.run(tasks.aget_tasks_by_key(*a, **k)),
    "get_tasks_by_key_prefix": lambda *a, **k: asyncio.run(tasks.aget_tasks_by_key_prefix(*a, **k)),
}
ALL = [pytest.param(name, SYNC[name], id=name) for name in SYNC]
ALL += [pytest.param(name, ASYNC[name], id=f"a{name}") for name in ASYNC]
each_lookup = pytest.mark.parametrize(("name", "lookup"), ALL)


def real_empty(result: LookupResult) -> bool:
    return result == [] and result.error is None and result.skipped == 0
