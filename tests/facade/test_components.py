"""The JSON that a front end receives from the components of `module_sdk.ui`."""

from __future__ import annotations

import json
from typing import Any

import pytest

import module_sdk
from module_sdk.errors import PayloadError
from module_sdk.ui import BackgroundTask, Builder, Button, Text

HANDLERS = ("on_finish", "on_started", "on_progress", "on_completed", "on_error", "on_confirmation", "on_update")
JSON_VALUES: list[Any] = ["reload", {"action": "open", "with": [1, None]}, ["a", "b"], 0, False, "", {}]


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("value", JSON_VALUES, ids=repr)
def test_a_card_has_the_handlers_that_were_given_and_no_other(handler: str, value: Any) -> None:
    described = BackgroundTask("card", "0190", **{handler: value}).to_dict()

    assert described == {"type": "BackgroundTask", "id": "card", "task_id": "0190", handler: value}
    assert json.loads(json.dumps(described)) == described


def test_handlers_may_be_passed_in_the_documented_order() -> None:
    described = BackgroundTask("card", "0190", *HANDLERS).to_dict()

    assert described == {"type": "BackgroundTask", "id": "card", "task_id": "0190"} | {name: name for name in HANDLERS}


def test_a_builder_contains_components_and_other_builders_in_order() -> None:
    inner = Builder().add(Button("Yes", on_click="confirm"))
    page = Builder().add(Text("Sure?", id="question")).add(inner).add(BackgroundTask("card", "0190"))

    assert page.to_dict() == {
        "type": "Builder",
        "children": [
            {"type": "Text", "text": "Sure?", "id": "question"},
            {"type": "Builder", "children": [{"type": "Button", "label": "Yes", "on_click": "confirm"}]},
            {"type": "BackgroundTask", "id": "card", "task_id": "0190"},
        ],
    }
    assert Builder().to_dict() == {"type": "Builder", "children": []}


def test_a_builder_accepts_components_of_the_application() -> None:
    class Chart:
        def to_dict(self) -> dict[str, Any]:
            return {"type": "Chart"}

    assert Builder().add(Chart()).to_dict()["children"] == [{"type": "Chart"}]


@pytest.mark.parametrize("handler", [print, object(), {1: "x"}, float("nan"), {"a": b"x"}])
def test_a_handler_that_is_not_json_is_refused(handler: Any) -> None:
    with pytest.raises(PayloadError, match="BackgroundTask"):
        BackgroundTask("card", "0190", on_error=handler).to_dict()


@pytest.mark.parametrize("child", [None, "text", {"type": "Text"}, Text], ids=repr)
def test_an_object_that_is_not_a_component_is_refused_when_it_is_added(child: Any) -> None:
    with pytest.raises(module_sdk.InvalidInputError, match="component") as refused:
        Builder().add(child)
    assert refused.value.field == "component"
