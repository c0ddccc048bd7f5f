"""The end of the process: the work that is left is recorded as interrupted."""

from __future__ import annotations

import atexit
import sys
from typing import Final

from module_sdk.errors import ConfigurationError
from module_sdk.facade.runtime import shutdown

SHUTTING_DOWN: Final = "background work is shutting down"
ending_process: list[bool] = []
"""Not empty once the process ends."""


def refuse_when_ending() -> None:
    """Raise `ConfigurationError` once the process ends: work that began now would stay active for ever."""
    if ending_process:
        raise ConfigurationError(SHUTTING_DOWN)


def end_with_process() -> None:
    """`shutdown`, after which no work begins in this process."""
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
        # Such a child may leave by `os._exit`, which skips `atexit` but not what is registered here.
        from multiprocessing.util import Finalize  # noqa: PLC0415  # loaded already

        Finalize(None, at_exit, exitpriority=0)


def after_fork() -> None:
    """In a child: it has begun no work, and the parent's handler of SIGTERM would end work that is not the child's."""
    ending_process.clear()
    handling = sys.modules.get("module_sdk.runner.sigterm")
    if handling is not None:
        handling.sigterm.uninstall()
