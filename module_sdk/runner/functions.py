"""Functions that can be run by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from module_sdk.errors import InvalidInputError
from module_sdk.text_rules import MAXIMUM_KEY_BYTES, check_text

Function = TypeVar("Function", bound=Callable[..., Any])

# These names are taken by `run_background` itself.
RESERVED_PARAMETERS: Final = frozenset({"coro_or_name", "label", "task_key"})

functions: Final[dict[str, Callable[..., Any]]] = {}


def register(name: str) -> Callable[[Function], Function]:
    """Name a function, sync or async, so that `run_background` can run it: `@register("reports.monthly")`.

    Raises `InvalidInputError` (a `ValueError`) for a name that is taken by another function, for what is no function,
    and for parameters called `label`, `task_key` or `coro_or_name`. Registering the same function again, as a reload
    does, replaces it.
    """
    check_text(name, "name", MAXIMUM_KEY_BYTES, minimum=1)

    def add(function: Function) -> Function:
        for parameter in parameters_of(function):
            if parameter in RESERVED_PARAMETERS:
                raise InvalidInputError(
                    f"a registered function must not have a parameter {parameter!r}", field=parameter
                )
        earlier = functions.get(name)
        if earlier is not None and where(earlier) != where(function):
            raise InvalidInputError(f"the name {name!r} is taken by {'.'.join(where(earlier))}", field="name")
        functions[name] = function
        return function

    return add


def parameters_of(function: object) -> Iterable[str]:
    try:
        return inspect.signature(function).parameters  # type: ignore[arg-type]  # whether it is one is the question
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"function must be a function whose parameters are known: {error}", field="function"
        ) from error


def where(function: Callable[..., Any]) -> tuple[str, str]:
    # A `functools.partial` has no name of its own.
    return function.__module__, getattr(function, "__qualname__", repr(function))


def registered(name: str) -> Callable[..., Any]:
    """The function of that name. Raises `InvalidInputError` (a `ValueError`) for an unknown one."""
    if name not in functions:
        known = ", ".join(sorted(functions)) or "none"
        raise InvalidInputError(f"no function is registered as {name!r} (registered: {known})", field="name")
    return functions[name]
