"""Coroutines that log an error if they are never awaited."""

from __future__ import annotations

import functools
import inspect
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

from module_sdk.domain.reports import report

Result = TypeVar("Result")
AsyncFunction = TypeVar("AsyncFunction", bound=Callable[..., Coroutine[Any, Any, Any]])


class Watched(Coroutine[Any, Any, Result]):
    """A coroutine that, if it is never awaited, logs an error and closes the work that it was meant to start.

    Python also warns of a coroutine that was never awaited. That warning names no remedy, and it goes to standard
    error, which few services keep.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Result], call: str, remedy: str, work: object) -> None:
        self.coroutine = coroutine
        self.call = call
        self.remedy = remedy
        self.work = work

    def __getattr__(self, name: str) -> Any:
        # Debuggers read the name, the frame and the code of a coroutine.
        if name == "coroutine":
            raise AttributeError(name)
        return getattr(self.coroutine, name)

    def __await__(self) -> Generator[Any, Any, Result]:
        # A generator, because it keeps a reference to this object: `__del__` must not run before the first step.
        return (yield from self.coroutine.__await__())

    def send(self, value: Any) -> Any:
        return self.coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        if self.is_unstarted():
            close_coroutine(self.work)
        return self.coroutine.throw(*error)

    def close(self) -> None:
        if self.is_unstarted():
            close_coroutine(self.work)
        self.coroutine.close()

    def is_unstarted(self) -> bool:
        return inspect.getcoroutinestate(self.coroutine) == inspect.CORO_CREATED

    def __del__(self) -> None:
        if not self.is_unstarted():
            return
        close_coroutine(self.work)
        report(
            logging.ERROR,
            "%s(%s) was never awaited, so it did nothing: await it, or call %s in synchronous code",
            self.call,
            described(self.work),
            self.remedy,
        )


def described(work: object) -> str:
    name = work if isinstance(work, str) else getattr(work, "__qualname__", type(work).__name__)
    return ascii(str(name))[1:-1]


def close_coroutine(work: object) -> None:
    """Close the coroutine of work that will never run. Otherwise Python would warn that it was never awaited."""
    if isinstance(work, Coroutine):
        work.close()


class WatchedFunction:
    """An async function whose calls are `Watched`.

    A plain function that returned a `Watched` would not count as async. This object copies the `__code__` of the async
    function, so `inspect` and `asyncio` treat it as that function, and frameworks await its calls.
    """

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            setattr(self, name, getattr(function, name))

    @property  # type: ignore[misc]  # `object.__class__` can also be assigned
    def __class__(self) -> type:
        # `help`, Sphinx and `inspect.isfunction` use `isinstance`; without this they would describe an object.
        return types.FunctionType

    def __reduce__(self) -> str:
        return self.function.__qualname__

    def __call__(self, *args: Any, **kwargs: Any) -> Watched[Any]:
        name = self.function.__name__
        work = args[0] if args else kwargs.get("coro_or_name")
        return Watched(self.function(*args, **kwargs), name, f"{name}_sync", work)


def watched(function: AsyncFunction) -> AsyncFunction:
    """Return an async function that logs an error when a call is not awaited.

    Its synchronous version must have the same name followed by `_sync`: the log message recommends it.
    """
    return cast("AsyncFunction", WatchedFunction(function))
