"""Awaiting what work returns, because a decorator may hide that the function below it is async."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Awaitable, Coroutine
from concurrent import futures
from typing import Any

from module_sdk.domain.reports import is_a
from module_sdk.domain.statuses import INTERRUPTED
from module_sdk.runner.outcome import CANCELLED, CANCELLED_BY_HOST, Outcome, raised
from module_sdk.runner.run import Run

# A result is examined by its type only, as in `is_a`. Its own code must neither decide how the task ends nor stop the
# loop on which the work runs.


def needs_a_loop(result: object) -> bool:
    return can_be_awaited(result) or is_a(futures.Future, result) or is_a(types.AsyncGeneratorType, result)


def can_be_awaited(result: Any) -> bool:
    if is_a(types.GeneratorType, result):
        return bool(result.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)
    return is_a(Awaitable, result)


async def awaited(result: Any) -> Any:
    """Await the result until it is no longer awaitable, and return the final value.

    Raises `TypeError` for a generator, because its code would never run.
    """
    while True:
        if is_a(futures.Future, result):
            result = await asyncio.wrap_future(result)
        elif is_future(result) and result.get_loop() is not asyncio.get_running_loop():
            result = await on_its_own_loop(result)
        elif can_be_awaited(result):
            result = await result
        else:
            break
    if is_a(types.AsyncGeneratorType, result):
        await result.aclose()
        raise no_generator("an async generator")
    return without_generator(result)


def is_future(result: object) -> bool:
    # The test of `asyncio.isfuture`, which also accepts futures and tasks of other libraries.
    return hasattr(type(result), "_asyncio_future_blocking")


async def on_its_own_loop(result: asyncio.Future[Any]) -> Any:
    if result.done():
        return result.result()
    if not result.get_loop().is_running():
        raise RuntimeError("the work returned a future of an event loop that does not run")
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(alone(result), result.get_loop()))


async def alone(result: asyncio.Future[Any]) -> Any:
    return await result


def without_generator(result: Any) -> Any:
    if is_a(types.GeneratorType, result):
        result.close()
        raise no_generator("a generator")
    return result


def no_generator(kind: str) -> TypeError:
    return TypeError(f"the work returned {kind}, whose code would never run: return a list instead")


def as_coroutine(result: Any) -> Coroutine[Any, Any, Any]:
    """Return a coroutine unchanged, so that closing it closes the function's result. Wrap other awaitables in one."""
    coroutine: Coroutine[Any, Any, Any] = result if is_a(Coroutine, result) else awaited(result)
    return coroutine


def raised_by_coroutine(error: BaseException, run: Run, task: asyncio.Task[Any] | None) -> Outcome:
    """Return the outcome of a coroutine that raised in this asyncio task. It may have been cancelled."""
    if is_a(asyncio.CancelledError, error):
        if run.cancelled.is_set():
            return Outcome(INTERRUPTED, error=CANCELLED)
        # If the task is not being cancelled, the work raised the error or awaited something that was cancelled.
        if task is not None and task.cancelling():
            return Outcome(INTERRUPTED, error=CANCELLED_BY_HOST)
    return raised(error, run)
