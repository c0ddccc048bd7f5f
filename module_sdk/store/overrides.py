"""Checks that a subclass of `TaskManager` defines nothing that would break the base class unnoticed."""

from __future__ import annotations

import inspect
from typing import Any, Final

INSTANCE_ATTRIBUTES: Final = ("clock", "opening", "options", "url")
"""Attributes that `TaskManager` assigns on each manager, so that a method of that name could never be called."""
MINIMUM_SIMILARITY: Final = 0.8


def check_overrides(subclass: type, base: type) -> None:
    """Raise `TypeError` for methods that a subclass seems to define by accident.

    These are a method that hides one of `base` without taking its arguments (its own `find`, `call` or `get`), and a
    `store_…` method that is not a primitive but has a name close to that of an optional primitive.
    """
    for name in INSTANCE_ATTRIBUTES:
        if callable(inspect.getattr_static(subclass, name, None)):
            raise TypeError(
                f"{subclass.__name__}.{name} hides the attribute {name!r} of TaskManager: rename the method"
            )
    for name, original in methods_of(base).items():
        found = inspect.getattr_static(subclass, name)
        if found is not original and not takes_the_arguments_of(found, original):
            taken = ", ".join(arguments_of(original))
            raise TypeError(
                f"{subclass.__name__}.{name} hides TaskManager.{name}({taken}), which the base class needs, and does "
                "not take these arguments: rename it"
            )
    primitives = {name for name in dir(base) if name.startswith("store_")}
    for name in sorted(set(dir(subclass)) - primitives):
        if name.startswith("store_") and (meant := closest(name, primitives - defined_below(subclass, base))):
            raise TypeError(f"{subclass.__name__}.{name} is not a primitive of TaskManager: did you mean {meant}?")


def methods_of(base: type) -> dict[str, Any]:
    """Return the methods that `base` and its base classes define, by name."""
    found = {name: inspect.getattr_static(base, name) for name in dir(base) if not name.startswith("__")}
    return {name: method for name, method in found.items() if inspect.isfunction(method)}


def arguments_of(method: Any) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


def takes_the_arguments_of(found: object, original: Any) -> bool:
    """Return whether every call that fits the original also fits the override."""
    return callable(found) and fits(inspect.signature(found), inspect.signature(original))


def fits(override: inspect.Signature, original: inspect.Signature) -> bool:
    kinds = {parameter.kind for parameter in override.parameters.values()}
    takes_any = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} & kinds
    missing = [name for name in original.parameters if name not in override.parameters]
    required = [
        name
        for name, parameter in override.parameters.items()
        if name not in original.parameters
        and parameter.default is parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    return bool(takes_any or not missing) and (bool(takes_any) or not required)


def defined_below(subclass: type, base: type) -> set[str]:
    """Return the names that the subclass, or another class that `base` does not inherit from, defines."""
    return {name for kind in subclass.__mro__ if kind not in base.__mro__ for name in vars(kind)}


def closest(name: str, names: set[str]) -> str | None:
    import difflib  # noqa: PLC0415  # only a wrong name needs it; at the top, every process would import it

    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=MINIMUM_SIMILARITY)), None)
