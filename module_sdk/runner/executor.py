"""The executor of a configuration. It starts with the first work and ends with the configuration."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, cast

from module_sdk.domain.shapes import AnyTaskId
from module_sdk.domain.text_rules import task_id_text
from module_sdk.errors import ConfigurationError
from module_sdk.facade.runtime import Runtime
from module_sdk.runner import process_exit
from module_sdk.runner.run import Run

if TYPE_CHECKING:
    from module_sdk.runner.local import LocalRunner


class Executor:
    """The current runner, and earlier runners that are still ending.

    It uses the lock of its `Runtime`, so that no work begins after the configuration has been closed.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.started: LocalRunner | None = None
        self.ending: list[LocalRunner] = []
        self.watches_sigterm = not runtime.settings.handle_sigterm

    def runner(self) -> LocalRunner:
        """Return the current runner, started if need be.

        Raises `ConfigurationError` without a manager, after the configuration was replaced, and when the process ends.
        """
        runtime = self.runtime
        with runtime.lock:
            if runtime.is_closed:
                raise ConfigurationError("the configuration was replaced while this call was being made")
            process_exit.refuse_when_ending()
            if self.started is None:
                from module_sdk.runner.local import LocalRunner  # noqa: PLC0415  # lookups do not need asyncio

                process_exit.shut_down_at_exit()
                self.started = LocalRunner(runtime.manager(), runtime.settings.max_running_tasks, runtime.threads())
            runner = self.started
        if not self.watches_sigterm:
            self.watch_sigterm()
        return runner

    def watch_sigterm(self) -> None:
        """Make SIGTERM end the work of this process as `interrupted`, unless `handle_sigterm` is off."""
        from module_sdk.runner.sigterm import sigterm  # noqa: PLC0415  # as above

        if self.runtime.settings.handle_sigterm:
            self.watches_sigterm = sigterm.watch(process_exit.end_with_process)

    def shutdown(self, timeout_seconds: float) -> None:
        """Wait for running work, then end the rest as `interrupted`. Later work gets a new runner."""
        lock = self.runtime.lock
        with lock:
            if self.started is not None:
                self.ending.append(self.started)
                self.started = None
            ending = list(self.ending)
        for runner in ending:
            # Wait also for a runner that another thread is shutting down: the process must not end before that one.
            runner.shutdown(timeout_seconds)
            with lock, contextlib.suppress(ValueError):
                self.ending.remove(runner)


def executor_of(runtime: Runtime) -> Executor:
    """Return the executor of a configuration, created if need be."""
    with runtime.lock:
        if runtime.executor is None:
            runtime.executor = Executor(runtime)
        return cast("Executor", runtime.executor)  # the facade only knows that it can be shut down


def started_runner(runtime: Runtime) -> LocalRunner | None:
    """Return the runner of a configuration, or `None` if it has not begun any work."""
    executor = cast("Executor | None", runtime.executor)  # as above
    return None if executor is None else executor.started


def local_run(runtime: Runtime, task_id: AnyTaskId) -> Run | None:
    """Return the run of a task, or `None` if this process is not running it."""
    runner = started_runner(runtime)
    return None if runner is None else runner.runs.get(task_id_text(task_id))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process_exit.after_fork)
