"""What runs the work of a configuration, started with its first work and ended with the configuration."""

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
    """The runner that is at work, and earlier ones that are still ending.

    It has the lock of its `Runtime`, so that no work begins once the configuration is closed.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.started: LocalRunner | None = None
        self.ending: list[LocalRunner] = []
        self.watches_sigterm = not runtime.settings.handle_sigterm

    def runner(self) -> LocalRunner:
        """Raises `ConfigurationError` without a manager, and once another configuration is in force."""
        runtime = self.runtime
        with runtime.lock:
            if runtime.is_closed:
                raise ConfigurationError("the configuration was replaced while this call was on its way")
            process_exit.refuse_when_ending()
            if self.started is None:
                from module_sdk.runner.local import LocalRunner  # noqa: PLC0415  # asyncio: lookups do without

                process_exit.shut_down_at_exit()
                self.started = LocalRunner(runtime.manager(), runtime.settings.max_running_tasks, runtime.threads())
            runner = self.started
        if not self.watches_sigterm:
            self.watch_sigterm()
        return runner

    def watch_sigterm(self) -> None:
        """Make SIGTERM end the work of this process as `interrupted`, unless that is turned off."""
        from module_sdk.runner.sigterm import sigterm  # noqa: PLC0415  # as above

        if self.runtime.settings.handle_sigterm:
            self.watches_sigterm = sigterm.watch(process_exit.end_with_process)

    def shutdown(self, timeout_seconds: float) -> None:
        """End the running work as `interrupted`; later work gets a new runner."""
        lock = self.runtime.lock
        with lock:
            if self.started is not None:
                self.ending.append(self.started)
                self.started = None
            ending = list(self.ending)
        for runner in ending:
            # Wait also for a runner that another thread is shutting down: the process must not end before it has.
            runner.shutdown(timeout_seconds)
            with lock, contextlib.suppress(ValueError):
                self.ending.remove(runner)


def executor_of(runtime: Runtime) -> Executor:
    """The executor of a configuration."""
    with runtime.lock:
        if runtime.executor is None:
            runtime.executor = Executor(runtime)
        return cast("Executor", runtime.executor)  # the facade knows no more of it than that it can be shut down


def started_runner(runtime: Runtime) -> LocalRunner | None:
    """The runner of a configuration, if it has begun any work."""
    executor = cast("Executor | None", runtime.executor)  # as above
    return None if executor is None else executor.started


def local_run(runtime: Runtime, task_id: AnyTaskId) -> Run | None:
    """The run of a task, if this process is running it."""
    runner = started_runner(runtime)
    return None if runner is None else runner.runs.get(task_id_text(task_id))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process_exit.after_fork)
