"""The background event loop, which runs work that synchronous code submits."""

from __future__ import annotations

import asyncio
import logging
import threading

from module_sdk.domain.reports import report
from module_sdk.errors import TaskBackendUnavailableError


class LoopThread:
    """One event loop on one daemon thread, started when it is first needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if need be.

        Raises `TaskBackendUnavailableError` if no thread can be started for it.
        """
        with self.lock:
            if self.started is None:
                # With a factory, the runner does not change the event loop of the calling thread.
                runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
                loop = runner.get_loop()
                try:
                    threading.Thread(target=self.run, args=(runner,), name="module-sdk-loop", daemon=True).start()
                except RuntimeError as error:
                    runner.close()
                    raise TaskBackendUnavailableError(f"the work has no thread to run on: {error}") from error
                self.started = loop
            return self.started

    def run(self, runner: asyncio.Runner) -> None:
        # Leaving the `with` block cancels the remaining tasks of the loop and waits until they have ended.
        with runner:
            loop = runner.get_loop()
            asyncio.set_event_loop(loop)
            while True:
                try:
                    loop.run_forever()
                except BaseException as error:  # a SystemExit raised by one task must not end the others
                    report(logging.ERROR, "work on the background loop tried to end it", error=error)
                else:
                    return

    def stop(self) -> None:
        with self.lock:
            loop, self.started = self.started, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
