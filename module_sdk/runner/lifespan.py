"""The lifespan of an application: it tells the runner which loop lasts and when the application ends."""

from __future__ import annotations

import asyncio
from types import TracebackType

from module_sdk.domain.timestamps import check_timeout
from module_sdk.facade.runtime import CLOSE_SECONDS, get_runtime, shutdown
from module_sdk.runner import host_loops
from module_sdk.runner.executor import executor_of
from module_sdk.runner.host_loops import open_lifespans


class Lifespan:
    """A context manager, as `lifespan` returns it. `with` and `async with` can enter it, each once.

    No lock protects `open_lifespans`, since a forked child could inherit it locked. If two threads leave the last two
    at the same time, both may shut down: the second finds nothing to do.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = check_timeout(timeout_seconds)
        self.loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> None:
        executor_of(get_runtime()).watch_sigterm()
        open_lifespans.append(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_last():
            shutdown(self.timeout_seconds)

    async def __aenter__(self) -> None:
        self.loop = asyncio.get_running_loop()
        host_loops.known.add(self.loop)
        open_lifespans.append(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_last():
            # On a thread, because work on this loop must be able to end meanwhile.
            await asyncio.to_thread(shutdown, self.timeout_seconds)
        if self.loop is not None:
            host_loops.known.discard(self.loop)

    def is_last(self) -> bool:
        if self in open_lifespans:
            open_lifespans.remove(self)
        return not open_lifespans


def lifespan(app: object = None, *, timeout_seconds: float = CLOSE_SECONDS) -> Lifespan:
    """Return a context manager for the lifespan of an application. Running work ends when the block is left.

    Work that is submitted on the event loop of an `async with` block runs on that loop. Use `with` on a main thread
    without a loop.

    Example:
        app = FastAPI(lifespan=module_sdk.lifespan)

    Args:
        app: The application, which frameworks pass. It is not used.
        timeout_seconds: How long running work may take to end. The rest is recorded as `interrupted`.

    Raises:
        InvalidInputError: `timeout_seconds` is negative or not a number.
    """
    return Lifespan(timeout_seconds)
