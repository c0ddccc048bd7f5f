"""The async twins: every call that touches the store, one thread hop away (DESIGN.md; clause FAIL-12).

The stores are written once, synchronously. This is the only file that knows how to leave the event loop.
"""

from __future__ import annotations

import contextvars
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.rows import LookupResult
from module_sdk.runtime import Runtime, get_runtime, runtime_in_force
from module_sdk.thread_pool import ThreadPool

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def run_on(threads: ThreadPool, call: Callable[[], Result], *, cancellable: bool = True) -> Result:
    """Call it on one of these threads, with the caller's session, and wait without blocking the event loop.

    What is not `cancellable` runs even if the waiting coroutine is cancelled before its turn.
    """
    # Loaded here: the synchronous lookups do without asyncio, which costs as much to import as a first lookup.
    import asyncio  # noqa: PLC0415

    context = contextvars.copy_context()

    def call_in_context() -> Result:
        try:
            return context.run(call)
        except StopIteration as error:
            # A future refuses it, and the coroutine would wait for ever; Python names it so in coroutines, too.
            raise RuntimeError("the call raised StopIteration") from error

    return await asyncio.wrap_future(threads.submit(call_in_context, cancellable=cancellable))


async def runtime_off_loop() -> Runtime:
    """The configuration in force. The first use of all reads files and loads a backend, so it leaves the loop too."""
    import asyncio  # noqa: PLC0415

    runtime = runtime_in_force()
    return runtime if runtime is not None else await asyncio.to_thread(get_runtime)


async def look_up_in_thread(
    answer: Callable[..., LookupResult], operation: str, argument: Any, organization_id: Any, limit: int | None
) -> LookupResult:
    """`answer` on a thread. Raises `TaskBackendUnavailableError` when that takes too long, the wait for it included."""
    import asyncio  # noqa: PLC0415

    started = time.monotonic()
    runtime = await runtime_off_loop()
    timeout_seconds = runtime.settings.lookup_timeout_seconds
    try:
        async with asyncio.timeout(timeout_seconds):
            call = functools.partial(answer, operation, argument, organization_id, limit, started)
            return await run_on(runtime.threads(), call)
    except TimeoutError:
        raise TaskBackendUnavailableError(f"no answer within {timeout_seconds:g} s") from None


def twin(function: Callable[Parameters, Result]) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """The async twin of a call: same arguments, same result, same errors."""

    @functools.wraps(function)
    async def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        runtime = await runtime_off_loop()
        return await run_on(runtime.threads(), functools.partial(function, *args, **kwargs))

    name = function.__name__
    call.__name__ = call.__qualname__ = name.removesuffix("_sync") if name.endswith("_sync") else f"a{name}"
    call.__doc__ = f"The async twin of `{function.__name__}`. {function.__doc__}"
    return call
