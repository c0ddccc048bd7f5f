"""Helpers of a walk's steps: outcomes as values, items picked by number, and calls as source text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from module_sdk_contract.data.reference import Fields
from module_sdk_contract.factories import task_of

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """The outcome of a call that raised. The message is ignored in comparisons."""

    kind: str
    message: str = dataclasses.field(default="", compare=False)


def outcome_of(call: Callable[[], Any]) -> Any:
    """Return the value of the call, or `Refused` if it raised."""
    try:
        return call()
    except Exception as error:
        return Refused(type(error).__name__, str(error))


def pick(items: Sequence[Item], number: int) -> Item:
    """Return the item at that index, modulo the number of items."""
    return items[number % len(items)]


def named(arguments: dict[str, Any]) -> list[str]:
    """Return keyword arguments as source text."""
    return [f"{name}={value!a}" for name, value in arguments.items()]


def shown_task(fields: Fields) -> str:
    """Return the source text that creates a task, without the fields that have their defaults."""
    task = task_of(fields)
    defaults = {"status": "pending", "progress": 0.0}
    names = [name for name in type(task).__dataclass_fields__ if getattr(task, name) not in (None, defaults.get(name))]
    return f"Task({', '.join(named({name: getattr(task, name) for name in names}))})"
