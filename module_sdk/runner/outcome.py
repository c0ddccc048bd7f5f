"""The outcome of work, as it is recorded."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from module_sdk.domain.reports import error_text, is_a
from module_sdk.domain.statuses import COMPLETED, FAILED, INTERRUPTED
from module_sdk.errors import ModuleSDKError, TaskCancelledError
from module_sdk.runner.run import Run

CANCELLED: Final = "cancelled"
SHUTDOWN: Final = "shutdown"
LOOP_ENDED: Final = "stopped: the event loop that it ran on has ended"
CANCELLED_BY_HOST: Final = (
    "stopped: its asyncio task was cancelled, by the end of its event loop or by code of the host"
)
UNREQUESTED: Final = (LOOP_ENDED, CANCELLED_BY_HOST)


class Outcome(NamedTuple):
    """The final status of a task with its result or its error text."""

    status: str
    result: Any = None
    error: str | None = None
    cause: BaseException | None = None
    """The exception that the work raised. It is logged after the end is recorded, because logging runs host code."""

    def fields(self) -> dict[str, Any]:
        """Return the fields to update."""
        if self.status == COMPLETED:
            return {"status": COMPLETED, "result": self.result}
        return {"status": self.status, "error": self.error}


def completed(result: Any) -> Outcome:
    return Outcome(COMPLETED, result=result)


def raised(error: BaseException, run: Run) -> Outcome:
    """Return the outcome of work that raised."""
    # Work that was told to stop may find its store closed already. That does not count as a failure of the work.
    was_stopped = run.cancelled.is_set() and is_a(ModuleSDKError, error)
    if was_stopped or is_a(TaskCancelledError, error):
        return Outcome(INTERRUPTED, error=CANCELLED)
    return Outcome(FAILED, error=error_text(error), cause=error)
