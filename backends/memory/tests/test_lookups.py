"""Lookups read without the lock, but return no task that is removed meanwhile, and none that reuses its id."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from module_sdk_memory.manager import MemoryTaskManager, Moment

from module_sdk.backends import Task, TaskManager


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_task_that_is_pruned_during_a_lookup_is_not_returned(
    opened: Callable[..., TaskManager], new_task: Callable[..., Task], is_replaced: bool
) -> None:
    # given two tasks, and a lookup that has found both in the index
    manager = opened("memory://")
    assert isinstance(manager, MemoryTaskManager)
    kept, removed = new_task(), new_task()
    assert manager.import_tasks([kept, removed]) == 2
    tables = manager.tables
    finds = 0

    def find() -> list[Moment]:
        nonlocal finds
        finds += 1
        found = tables.by_user["7", "1"][::-1]
        if finds == 1:
            # when one task is pruned before the lookup reads it, and another organization may get a task with its id
            tables.remove(tables.records[removed.id])
            if is_replaced:
                tables.put(tables.records[kept.id]._replace(id=removed.id, organization_id="8", user_id="2"))
        return found

    # then the lookup returns only the other task
    assert [row[0] for row in tables.rows(find, None)] == [kept.id]
