"""Lookups read without the lock; what is removed in the meantime is not shown, nor what came in its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from module_sdk_memory.manager import MemoryTaskManager, Moment

from module_sdk.backends import Task, TaskManager


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_task_that_is_pruned_during_a_lookup(
    opened: Callable[..., TaskManager], new_task: Callable[..., Task], comes_back: bool
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
            # when one is pruned before it is read, and its id belongs to another organization then
            tables.remove(tables.records[removed.id])
            if comes_back:
                tables.put(tables.records[kept.id]._replace(id=removed.id, organization_id="8", user_id="2"))
        return found

    # then the other alone is shown
    assert [row[0] for row in tables.rows(find, None)] == [kept.id]
