"""The statuses of a task and the legal moves between them (clauses LIFE)."""

from __future__ import annotations

from typing import Final

from module_sdk.domain.shapes import ActiveStatus, FinalStatus, TaskStatus

PENDING: Final = "pending"
RUNNING: Final = "running"
WAITING_CONFIRMATION: Final = "waiting_confirmation"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
INTERRUPTED: Final = "interrupted"

LEGAL_MOVES: Final[dict[TaskStatus, frozenset[TaskStatus]]] = {
    PENDING: frozenset({RUNNING, FAILED, INTERRUPTED}),
    RUNNING: frozenset({WAITING_CONFIRMATION, COMPLETED, FAILED, INTERRUPTED}),
    WAITING_CONFIRMATION: frozenset({RUNNING, FAILED, INTERRUPTED}),
    COMPLETED: frozenset(),
    FAILED: frozenset(),
    INTERRUPTED: frozenset(),
}
STATUSES: Final = frozenset(LEGAL_MOVES)
ACTIVE: Final[tuple[ActiveStatus, ...]] = (PENDING, RUNNING, WAITING_CONFIRMATION)
FINAL: Final[tuple[FinalStatus, ...]] = (COMPLETED, FAILED, INTERRUPTED)


def sources(wanted: TaskStatus) -> tuple[TaskStatus, ...]:
    """Return the statuses from which a task may move to `wanted`, in a fixed order."""
    return tuple(status for status, targets in LEGAL_MOVES.items() if wanted in targets)
