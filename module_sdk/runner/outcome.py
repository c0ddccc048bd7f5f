"""How work ended, as it is recorded."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from module_sdk.domain.reports import error_text, is_a
from module_sdk.domain.statuses import COMPLETED, FAILED, INTERRUPTED
from module_sdk.errors import ModuleSDKError, TaskCancelledError
from module_sdk.runner.run import Run

CANCELLED: Final = "cancelled"
SHUTDOWN: Final = "shutdown"
LOOP_ENDED: Final = "stopped: the event loop that it ran on has ended"
NOT_BY_US: Final = "stopped: its asyncio task was cancelled, by the end of its event loop or by code of the host"
UNASKED: Final = (LOOP_ENDED, NOT_BY_US)


class Outcome(NamedTuple):
    """The final status with the result or the error text."""

    status: str
    result: Any = None
    error: str | None = None
    cause: BaseException | None = None
    """What the work raised. It is logged after the end is recorded, since logging runs code of the host."""

    def fields(self) -> dict[str, Any]:
        """What to update."""
        if self.status == COMPLETED:
            return {"status": COMPLETED, "result": self.result}
        return {"status": self.status, "error": self.error}


def completed(result: Any) -> Outcome:
    return Outcome(COMPLETED, result=result)


def raised(error: BaseException, run: Run) -> Outcome:
    """The outcome of work that raised."""
    # Work that was told to stop may meet a store that is closed by now: that is no failure of its own.
    was_stopped = run.cancelled.is_set() and is_a(ModuleSDKError, error)
    if was_stopped or is_a(TaskCancelledError, error):
        return Outcome(INTERRUPTED, error=CANCELLED)
    return Outcome(FAILED, error=error_text(error), cause=error)
