"""What work returns, awaited where it can be, since a decorator may hide that the function below it is async."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Awaitable, Coroutine
from concurrent import futures
from typing import Any

from module_sdk.domain.reports import is_a
from module_sdk.domain.statuses import INTERRUPTED
from module_sdk.runner.outcome import CANCELLED, NOT_BY_US, Outcome, raised
from module_sdk.runner.run import Run

# A result is judged by its type alone, as in `is_a`: its own code must neither decide what becomes of the task nor end
# the loop that the work runs on.


def needs_a_loop(result: object) -> bool:
    return can_be_awaited(result) or is_a(futures.Future, result) or is_a(types.AsyncGeneratorType, result)


def can_be_awaited(result: Any) -> bool:
    if is_a(types.GeneratorType, result):
        return bool(result.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)
    return is_a(Awaitable, result)


async def awaited(result: Any) -> Any:
    """The value behind everything that can be awaited, however often it is wrapped.

    Raises `TypeError` for a generator, whose code nobody would ever run.
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
    # As `asyncio.isfuture` has it, for futures and tasks of other libraries too.
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


def no_generator(what: str) -> TypeError:
    return TypeError(f"the work returned {what}, whose code nobody runs: return a list instead")


def as_coroutine(result: Any) -> Coroutine[Any, Any, Any]:
    """A coroutine as it is, so that closing it closes what the function returned; the rest inside one of ours."""
    coroutine: Coroutine[Any, Any, Any] = result if is_a(Coroutine, result) else awaited(result)
    return coroutine


def raised_by_coroutine(error: BaseException, run: Run, task: asyncio.Task[Any] | None) -> Outcome:
    """As `raised`, of a coroutine that runs in this asyncio task: it may have been cancelled."""
    if is_a(asyncio.CancelledError, error):
        if run.cancelled.is_set():
            return Outcome(INTERRUPTED, error=CANCELLED)
        # Otherwise nobody asked for it: the work raised it, or awaited something that had been cancelled.
        if task is not None and task.cancelling():
            return Outcome(INTERRUPTED, error=NOT_BY_US)
    return raised(error, run)
