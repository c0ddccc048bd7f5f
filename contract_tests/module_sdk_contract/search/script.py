"""What a walk's steps are made of: outcomes that are values, numbers that pick, and calls as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from module_sdk_contract.data.reference import Fields
from module_sdk_contract.factories import task_of

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """The call raised."""

    kind: str
    message: str = dataclasses.field(default="", compare=False)


def outcome_of(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return Refused(type(error).__name__, str(error))


def pick(items: Sequence[Item], number: int) -> Item:
    return items[number % len(items)]


def named(arguments: dict[str, Any]) -> list[str]:
    return [f"{name}={value!a}" for name, value in arguments.items()]


def shown_task(fields: Fields) -> str:
    given = task_of(fields)
    plain = {"status": "pending", "progress": 0.0}
    names = [name for name in type(given).__dataclass_fields__ if getattr(given, name) not in (None, plain.get(name))]
    return f"Task({', '.join(named({name: getattr(given, name) for name in names}))})"
