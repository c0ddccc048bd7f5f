"""Converts payloads that `json` cannot write unchanged as pydantic would, or refuses them with their path (ROW-10).

The first such payload imports this module. It walks the containers itself, because an error must name the path to the
value. Pydantic writes the values inside, and every object that has a pydantic serializer.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from module_sdk.domain.payloads import MAXIMUM_DEPTH, too_large
from module_sdk.domain.reports import error_text
from module_sdk.errors import PayloadError

Step = str | int
"""A key or an index: one step from a container to one of its items."""

# Pydantic writes bytes as text whose encoding is not recorded, and it exhausts iterators.
REFUSED: Final = (bytes, bytearray, memoryview, Iterator)
SEQUENCES: Final = (list, tuple, set, frozenset, collections.deque)
# A longer path is cut in the middle, a longer key at its end.
MAXIMUM_STEPS: Final = 16
LONGEST_KEY: Final = 60
# Pydantic's fallback replaces a value that it cannot write by `{MARK: type name}`, so that the walk finds its path.
MARK: Final = f"module-sdk refuses {uuid.uuid4()}"


def converted(value: object, field: str, maximum: int) -> Any:
    """Return a copy that consists only of plain JSON. Raise `PayloadError` for every failure."""
    conversion = Conversion(field, maximum)
    try:
        return conversion.convert(value)
    except PayloadError:
        raise
    except Exception as error:  # from the value's own code, or a limit of Python
        # `conversion.steps` still is the path to the value that failed.
        raise conversion.refusal(f"must be JSON: {error_text(error)}") from error


class Conversion:
    """The conversion of one payload, with few calls per level: the payload and the caller's stack may both be deep."""

    def __init__(self, field: str, maximum: int) -> None:
        self.field = field
        self.maximum = maximum
        self.steps: list[Step] = []
        self.containers: list[int] = []
        self.items = 0

    def convert(self, value: Any) -> Any:  # noqa: PLR0911  # one return per kind of value
        self.items += 1
        if self.items > self.maximum:
            raise too_large(self.field, self.maximum)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, dict):
            return self.convert_pairs(value, value.items())
        if isinstance(value, SEQUENCES):
            return self.convert_items(value)
        if isinstance(value, int | float):
            return self.check_number(value)
        serializer = getattr(type(value), "__pydantic_serializer__", None)
        if serializer is not None:
            return self.convert(serializer.to_python(value, mode="json", warnings=False, fallback=marked))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = (field.name for field in dataclasses.fields(value))
            return self.convert_pairs(value, ((name, getattr(value, name)) for name in names))
        return self.convert_single(value)

    def check_number(self, value: float) -> float:
        if isinstance(value, int):
            int.__repr__(value)  # Python raises for thousands of digits
        elif not math.isfinite(value):
            raise self.refusal(f"must be JSON: {float.__repr__(value)} is not")
        return value

    def convert_single(self, value: object) -> Any:
        if isinstance(value, enum.Enum):
            return self.convert(value.value)
        if isinstance(value, REFUSED):
            raise self.refusal(f"must be JSON: {type(value).__name__} is not")
        try:
            written = to_jsonable_python(value)
        except PydanticSerializationError:
            raise self.refusal(f"must be JSON: {type(value).__name__} is not") from None
        return self.convert(written)

    def convert_pairs(self, container: object, pairs: Iterable[tuple[object, object]]) -> dict[str, Any]:
        self.enter(container)
        written: dict[str, Any] = {}
        for key, value in pairs:
            if not isinstance(key, str):
                raise self.refusal(f"must have text keys only, not {type(key).__name__}")
            if key == MARK:
                raise self.refusal(f"must be JSON: {value} is not")
            self.steps.append(key)
            written[key] = self.convert(value)
            self.steps.pop()
        self.containers.pop()
        return written

    def convert_items(self, container: Iterable[object]) -> list[Any]:
        self.enter(container)
        written: list[Any] = []
        for index, item in enumerate(container):
            self.steps.append(index)
            written.append(self.convert(item))
            self.steps.pop()
        self.containers.pop()
        return written

    def enter(self, container: object) -> None:
        if id(container) in self.containers:
            raise self.refusal("must not contain itself", MAXIMUM_DEPTH)
        if len(self.containers) == MAXIMUM_DEPTH:
            raise self.refusal(f"must be nested at most {MAXIMUM_DEPTH} deep", MAXIMUM_DEPTH)
        self.containers.append(id(container))

    def refusal(self, reason: str, maximum: int | None = None) -> PayloadError:
        return PayloadError(f"{path_text(self.field, self.steps)} {reason}", field=self.field, maximum=maximum)


def marked(value: object) -> dict[str, str]:
    """Return the replacement for a value that pydantic cannot write."""
    return {MARK: type(value).__name__}


def path_text(field: str, steps: list[Step]) -> str:
    """Return a path such as `result.rows[3].at`. A key that is not an identifier is quoted."""
    written = [step_text(step) for step in steps]
    if len(written) > MAXIMUM_STEPS:
        written[MAXIMUM_STEPS // 2 : -MAXIMUM_STEPS // 2] = ["…"]
    return field + "".join(written)


def step_text(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    short = step[:LONGEST_KEY]
    return f".{short}" if short.isidentifier() and short == step else f"[{json.dumps(short)}]"
