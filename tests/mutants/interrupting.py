"""Mutants that interrupt many tasks at once, and do it wrong (LIFE-11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from module_sdk.backends import Change, statuses
from tests.mutants.bases import MemoryMutant


class ManyWithoutGuard(MemoryMutant):
    """Ends what has ended already once more."""

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        return super().store_update_many(
            task_ids, organization, change._replace(allowed=tuple(statuses.STATUSES)), deadline
        )


class ManyCountsAll(MemoryMutant):
    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        super().store_update_many(task_ids, organization, change, deadline)
        return len(task_ids)


class ManyKeepsKeys(MemoryMutant):
    """Forgets that ended tasks let go of their keys and have a time at which they ended."""

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        return super().store_update_many(task_ids, organization, change._replace(ends=False), deadline)


ROWS: Final = (
    ("many ended tasks changed", ManyWithoutGuard, "LIFE-11"),
    ("many counted that were not changed", ManyCountsAll, "LIFE-11"),
    ("many ended without an end", ManyKeepsKeys, "LIFE-11"),
)
