"""How asynchronous calls reach the store: on a thread of a pool (clause FAIL-12).

Managers have synchronous methods only. This is the only file that moves a call from the event loop to a thread.
"""

from __future__ import annotations

import contextvars
import functools
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from module_sdk.domain.rows import LookupResult
from module_sdk.domain.shapes import Identifier, LookupName
from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.facade.runtime import Runtime, current_runtime, get_runtime
from module_sdk.facade.thread_pool import ThreadPool
from module_sdk.store.deadlines import limited

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def run_on(
    threads: ThreadPool, call: Callable[[], Result], *, cancellable: bool = True, deadline: float | None = None
) -> Result:
    """Run `call` on one of the threads, with the caller's session, and wait without blocking the event loop.

    A call that is not `cancellable` runs even if the waiting coroutine is cancelled before the call begins. A call
    that has not begun by the deadline is not made: this raises `TaskBackendUnavailableError`.
    """
    return await result_of(submit(threads, call, cancellable=cancellable, deadline=deadline), deadline)


def submit(
    threads: ThreadPool, call: Callable[[], Result], *, cancellable: bool = True, deadline: float | None = None
) -> Future[Result]:
    """Do what `run_on` does, but return the future instead of waiting for it."""
    context = contextvars.copy_context()

    def call_in_time() -> Result:
        if deadline is None:
            return call()
        if time.monotonic() >= deadline:
            raise not_begun()
        return limited(call, deadline)

    def call_in_context() -> Result:
        try:
            return context.run(call_in_time)
        except StopIteration as error:
            # A future rejects StopIteration, so the coroutine would wait forever. Python makes the same replacement
            # when a coroutine raises it.
            raise RuntimeError("the call raised StopIteration") from error

    return threads.submit(call_in_context, cancellable=cancellable)


async def result_of(future: Future[Result], deadline: float | None) -> Result:
    """Return the result of a submitted call, or raise its exception. Drop a call that has not begun by the deadline."""
    # Imported here: synchronous lookups do not need asyncio, whose import takes as long as a first lookup.
    import asyncio  # noqa: PLC0415

    if deadline is None:
        return await asyncio.wrap_future(future)
    was_dropped = False

    def drop() -> None:
        nonlocal was_dropped
        was_dropped = future.cancel()

    timer = asyncio.get_running_loop().call_later(deadline - time.monotonic(), drop)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not was_dropped or (task is not None and task.cancelling()):
            raise
        raise not_begun() from None
    finally:
        timer.cancel()


def not_begun() -> TaskBackendUnavailableError:
    return TaskBackendUnavailableError("no thread was free by the deadline, so the call was not made")


async def runtime_off_loop() -> Runtime:
    """Return the configuration in force. The first use reads files and loads a backend, so it runs on a thread too."""
    import asyncio  # noqa: PLC0415

    runtime = current_runtime()
    return runtime if runtime is not None else await asyncio.to_thread(get_runtime)


async def look_up_in_thread(
    look_up: Callable[..., LookupResult],
    operation: LookupName,
    argument: Identifier,
    organization_id: Identifier | None,
    limit: int | None,
) -> LookupResult:
    """Call `look_up` on a thread of the pool. The wait for a thread counts towards the lookup's timeout.

    Raises `TaskBackendUnavailableError` after the timeout.
    """
    import asyncio  # noqa: PLC0415

    started = time.monotonic()
    runtime = await runtime_off_loop()
    timeout_seconds = runtime.settings.lookup_timeout_seconds
    try:
        async with asyncio.timeout(timeout_seconds):
            call = functools.partial(look_up, operation, argument, organization_id, limit, started)
            return await run_on(runtime.threads(), call)
    except TimeoutError:
        raise TaskBackendUnavailableError(f"no answer within {timeout_seconds:g} s") from None


async def in_thread(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Make a synchronous call on a thread of the pool, with the caller's session; return its result or raise its error.

    The wait for a thread counts towards the call's timeout.
    """
    began = time.monotonic()
    runtime = await runtime_off_loop()
    deadline = began + runtime.call_seconds()
    return await run_on(runtime.threads(), functools.partial(function, *args, **kwargs), deadline=deadline)
