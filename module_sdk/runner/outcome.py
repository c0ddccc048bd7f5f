"""How work ended, as it is recorded."""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

from module_sdk.errors import ModuleSDKError, TaskCancelledError
from module_sdk.runner.run import Run
from module_sdk.statuses import COMPLETED, FAILED, INTERRUPTED

CANCELLED: Final = "cancelled"
SHUTDOWN: Final = "shutdown"
STOPPED: Final = "stopped"
LOOP_ENDED: Final = "stopped: the event loop that it ran on has ended"
NOT_BY_US: Final = "stopped: its asyncio task was cancelled, by the end of its event loop or by code of the host"
logger = logging.getLogger("module_sdk.tasks")


class Outcome(NamedTuple):
    """The final status with the result or the error text."""

    status: str
    result: Any = None
    error: str | None = None

    def fields(self) -> dict[str, Any]:
        """What to update."""
        if self.status == COMPLETED:
            return {"status": COMPLETED, "result": self.result}
        return {"status": self.status, "error": self.error}


def completed(result: Any) -> Outcome:
    return Outcome(COMPLETED, result=result)


def raised(error: BaseException, run: Run) -> Outcome:
    """The outcome of work that raised; the traceback goes to the log."""
    # Work that was told to stop may meet a store that is closed by now: that is no failure of its own.
    was_stopped = run.cancelled.is_set() and isinstance(error, ModuleSDKError)
    if was_stopped or isinstance(error, TaskCancelledError):
        return Outcome(INTERRUPTED, error=CANCELLED)
    logger.error("task %s failed", run.id, exc_info=error)
    return Outcome(FAILED, error=error_text(error))


def error_text(error: BaseException) -> str:
    """`Type: message`, as a task's error is kept."""
    try:
        message = str(error)
    except Exception:  # the message is code of whoever wrote the exception
        message = "its message cannot be read"
    return f"{type(error).__name__}: {message}"
