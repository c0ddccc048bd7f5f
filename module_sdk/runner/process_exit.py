"""The end of the process: remaining work is recorded as interrupted."""

from __future__ import annotations

import atexit
import sys
from typing import Final

from module_sdk.errors import ConfigurationError
from module_sdk.facade.runtime import shutdown

SHUTTING_DOWN: Final = "background work is shutting down"
ending_process: list[bool] = []
"""Not empty once the process has begun to end."""


def refuse_when_ending() -> None:
    """Raise `ConfigurationError` if the process is ending: a task that began now would stay active forever."""
    if ending_process:
        raise ConfigurationError(SHUTTING_DOWN)


def end_with_process() -> None:
    """Call `shutdown`, and let no more work begin in this process."""
    ending_process.append(True)
    shutdown()


def at_exit() -> None:
    end_with_process()
    handling = sys.modules.get("module_sdk.runner.sigterm")
    if handling is not None:
        handling.sigterm.finish()


def shut_down_at_exit() -> None:
    atexit.unregister(at_exit)
    atexit.register(at_exit)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        # A child of `multiprocessing` may exit with `os._exit`, which skips `atexit` but not this finalizer.
        from multiprocessing.util import Finalize  # noqa: PLC0415  # already loaded

        Finalize(None, at_exit, exitpriority=0)


def after_fork() -> None:
    """Reset a forked child. It has no work yet, and the parent's SIGTERM handler would end the work of the parent."""
    ending_process.clear()
    handling = sys.modules.get("module_sdk.runner.sigterm")
    if handling is not None:
        handling.sigterm.uninstall()
