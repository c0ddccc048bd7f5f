"""Mutants that interrupt many tasks at once, and do it wrong (LIFE-11)."""

from __future__ import annotations

from collections.abc import Sequence

from module_sdk.backends import Change, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant


@mutant("m1", "many ended tasks changed", clause="LIFE-11")
class ManyWithoutGuard(MemoryMutant):
    """Ends what has ended already once more."""

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        return super().store_update_many(
            task_ids, organization, change._replace(allowed=tuple(statuses.STATUSES)), deadline
        )


@mutant("m2", "many counted that were not changed", clause="LIFE-11")
class ManyCountsAll(MemoryMutant):
    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        super().store_update_many(task_ids, organization, change, deadline)
        return len(task_ids)


@mutant("m3", "many ended without an end", clause="LIFE-11")
class ManyKeepsKeys(MemoryMutant):
    """Forgets that ended tasks let go of their keys and have a time at which they ended."""

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        return super().store_update_many(task_ids, organization, change._replace(ends=False), deadline)
