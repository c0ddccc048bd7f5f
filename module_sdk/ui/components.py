"""Components and their `to_dict()`, whose result a front end receives.

A handler is any JSON value: the name of an action, or the specification of one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol, Self

from module_sdk.domain.payloads import HIGHEST_MAXIMUM_BYTES, plain_payload
from module_sdk.domain.shapes import Json
from module_sdk.errors import InvalidInputError


@dataclasses.dataclass
class Component:
    """A dataclass that describes itself as JSON."""

    def to_dict(self) -> dict[str, Json]:
        """Return the component as plain JSON: the class name as `type`, and every field that is not `None`.

        Raises:
            PayloadError: A handler is not JSON.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        described = {"type": type(self).__name__} | {key: value for key, value in fields.items() if value is not None}
        written: dict[str, Json] = plain_payload(described, type(self).__name__, HIGHEST_MAXIMUM_BYTES)
        return written


@dataclasses.dataclass
class Text(Component):
    text: str
    id: str | None = None


@dataclasses.dataclass
class Button(Component):
    label: str
    on_click: object = None
    id: str | None = None


@dataclasses.dataclass
class BackgroundTask(Component):
    """A card that shows the progress of one task, and calls the handlers as the task advances."""

    id: str
    task_id: str
    on_finish: object = None
    on_started: object = None
    on_progress: object = None
    on_completed: object = None
    on_error: object = None
    on_confirmation: object = None
    on_update: object = None


class Describable(Protocol):
    """An object that can describe itself as JSON: a component of module-sdk or of the application."""

    def to_dict(self) -> Mapping[str, object]:
        """Return plain JSON."""
        ...


class Builder:
    """An ordered list of components: a page or a part of one."""

    def __init__(self) -> None:
        self.children: list[Describable] = []

    def add(self, component: Describable) -> Self:
        """Append a component and return the builder, so that calls can be chained.

        Raises:
            InvalidInputError: The component has no `to_dict()`.
        """
        if isinstance(component, type) or not callable(getattr(component, "to_dict", None)):
            raise InvalidInputError(f"component must be a component, not {component!r:.100}", field="component")
        self.children.append(component)
        return self

    def to_dict(self) -> dict[str, Json]:
        """Return `{"type": "Builder", "children": […]}`."""
        return {"type": "Builder", "children": [child.to_dict() for child in self.children]}
