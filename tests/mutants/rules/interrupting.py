"""Mutants of interrupting many tasks at once (LIFE-11)."""

from __future__ import annotations

from collections.abc import Sequence

from module_sdk.backends import Change, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant


@mutant("m1", "interrupting many also changes ended tasks", clause="LIFE-11")
class ManyWithoutGuard(MemoryMutant):
    """Interrupts tasks that have already ended."""

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        return super().store_update_many(
            task_ids, organization, change._replace(allowed=tuple(statuses.STATUSES)), deadline
        )


@mutant("m2", "interrupting many counts unchanged tasks", clause="LIFE-11")
class ManyCountsAll(MemoryMutant):
    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        super().store_update_many(task_ids, organization, change, deadline)
        return len(task_ids)


@mutant("m3", "interrupting many keeps keys and sets no finished_at", clause="LIFE-11")
class ManyKeepsKeys(MemoryMutant):
    """Changes the status, but frees no keys and sets no `finished_at`."""

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        return super().store_update_many(task_ids, organization, change._replace(ends=False), deadline)
