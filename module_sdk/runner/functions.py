"""Registered functions, which `run_background` can run by name."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from module_sdk.domain.text_rules import MAXIMUM_KEY_BYTES, check_text
from module_sdk.errors import InvalidInputError

Function = TypeVar("Function", bound=Callable[..., Any])

# Parameters of `run_background` itself.
RESERVED_PARAMETERS: Final = frozenset({"coro_or_name", "label", "task_key"})

# The names of the main module of a program: in the program itself, and in a process spawned by `multiprocessing`.
MAIN_MODULES: Final = frozenset({"__main__", "__mp_main__"})
ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")

functions: Final[dict[str, Callable[..., Any]]] = {}


def register(name: str) -> Callable[[Function], Function]:
    """Name a function, synchronous or asynchronous, so that `run_background` can run it by that name.

    Registering the same function again replaces it. This happens on a reload, and if a program is both run as a script
    and imported as a module.

    Example:
        @tasks.register("reports.monthly")
        def monthly_report(month: str) -> dict[str, int]: ...

    Args:
        name: The name; 1 to 1,024 bytes of UTF-8.

    Returns:
        A decorator that returns the function itself. The function receives its arguments as JSON returns them.

    Raises:
        InvalidInputError: Another function has the name, or the decorated object is not a function, is a generator
            function, or has a parameter called `label`, `task_key` or `coro_or_name`.
    """
    check_text(name, "name", MAXIMUM_KEY_BYTES, minimum=1)

    def add(function: Function) -> Function:
        for parameter in parameters_of(function):
            if parameter in RESERVED_PARAMETERS:
                raise InvalidInputError(
                    f"a registered function must not have a parameter {parameter!r}", field=parameter
                )
        if is_generator_function(function):
            raise InvalidInputError(
                f"{'.'.join(full_name(function))} is a generator function, whose code would never run", field="function"
            )
        earlier = functions.get(name)
        if earlier is not None and not is_same_function(full_name(earlier), full_name(function)):
            raise InvalidInputError(f"the name {name!r} is taken by {'.'.join(full_name(earlier))}", field="name")
        functions[name] = function
        return function

    return add


def parameters_of(function: object) -> Iterable[str]:
    try:
        return inspect.signature(function).parameters  # type: ignore[arg-type]  # raises if it is not callable
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"function must be a function whose parameters can be inspected: {error}", field="function"
        ) from error


def is_generator_function(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    for call in (function, type(function).__call__):
        if inspect.isasyncgenfunction(call):
            return True
        # A generator function decorated with `types.coroutine` is a coroutine function and can be awaited.
        code = getattr(getattr(call, "__func__", call), "__code__", None)
        if inspect.isgeneratorfunction(call) and not (code and code.co_flags & inspect.CO_ITERABLE_COROUTINE):
            return True
    return False


def full_name(function: Any) -> tuple[str, str]:
    """Return the module and the qualified name of a function.

    The name of a `functools.partial` or of a callable object is made of its parts.
    """
    if isinstance(function, functools.partial):
        module, name = full_name(function.func)
        return module, f"{name} with {repr_without_addresses((function.args, function.keywords))}"
    if hasattr(function, "__qualname__"):
        return str(function.__module__), function.__qualname__
    kind = type(function)
    return kind.__module__, f"{kind.__qualname__} of {repr_without_addresses(getattr(function, '__dict__', None))}"


def repr_without_addresses(value: object) -> str:
    """Return the `repr` without memory addresses, which differ each time the same line runs."""
    return ADDRESS.sub("", repr(value))


def is_same_function(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Return whether two names mean the same function.

    `python main.py` that calls `uvicorn.run("main:app")` loads one file as two modules.
    """
    if one[1] != other[1]:
        return False
    if one[0] == other[0]:
        return True
    if not {one[0], other[0]} & MAIN_MODULES:
        return False
    files = {file_of(module) for module, _ in (one, other)}
    return len(files) == 1 and None not in files


def file_of(module: str) -> str | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else os.path.realpath(file)


def registered(name: str) -> Callable[..., Any]:
    """Return the function of that name. Raises `InvalidInputError` (a `ValueError`) for an unknown name."""
    if name not in functions:
        known = ", ".join(sorted(functions)) or "none"
        raise InvalidInputError(f"no function is registered as {name!r} (registered: {known})", field="name")
    return functions[name]
