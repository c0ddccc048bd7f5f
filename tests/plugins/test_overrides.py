"""Classes of backends that hide a method of the base class, or misspell a primitive or hook, are refused."""

from __future__ import annotations

from typing import Any

import pytest
from module_sdk_contract import TaskManagerContract

from module_sdk.backends import TaskManager, hookimpl
from module_sdk.errors import ConfigurationError
from module_sdk.plugins.hookspecs import BackendHooks
from module_sdk.plugins.loading import hooks_of


@pytest.mark.parametrize("name", ["find", "call", "deadline", "get", "count", "nothing", "new_opening"])
def test_a_method_that_hides_one_of_the_base_class_is_refused(name: str) -> None:
    def own(self: Any, collection: str) -> None: ...

    with pytest.raises(TypeError, match=rf"Mine\.{name} hides TaskManager\.{name}\("):
        type("Mine", (TaskManager,), {name: own})


@pytest.mark.parametrize("name", ["url", "options", "clock", "opening"])
def test_a_method_named_like_an_instance_attribute_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"hides the attribute '{name}'"):
        type("Mine", (TaskManager,), {name: lambda self: None})


def test_a_value_that_hides_a_method_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Mine\.count hides"):
        type("Mine", (TaskManager,), {"count": 0})


def test_a_method_of_a_mixin_that_hides_one_of_the_base_class_is_refused() -> None:
    mixin = type("Mixin", (), {"find": lambda self, query: query})

    with pytest.raises(TypeError, match=r"Mine\.find hides"):
        type("Mine", (mixin, TaskManager), {})


def test_a_method_that_takes_the_same_arguments_may_override_the_original() -> None:
    def get(self: Any, task_id: str, **options: Any) -> Any: ...
    def call(self: Any, primitive: Any, *args: Any) -> Any: ...

    assert type("Mine", (TaskManager,), {"get": get, "call": call, "help": lambda self: None})


@pytest.mark.parametrize(
    ("name", "meant"), [("store_explian", "store_explain"), ("store_after_forks", "store_after_fork")]
)
def test_the_error_for_a_misspelt_primitive_suggests_the_closest(name: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"did you mean {meant}"):
        type("Mine", (TaskManager,), {name: lambda self: None})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("dead_uri", "dead_url"), ("write_new_schema", "write_newer_schema"), ("time_limit_second", "time_limit_seconds")],
)
def test_the_error_for_a_misspelt_hook_of_the_suite_suggests_the_closest(name: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"did you mean {meant}"):
        type("TestMine", (TaskManagerContract,), {name: lambda self, store: None})


def test_the_error_for_a_misspelt_hook_of_a_plugin_suggests_the_closest() -> None:
    class Plugin:
        @hookimpl
        def module_sdk_open_task_manger(self, url: str, options: object) -> None: ...

    with pytest.raises(ConfigurationError, match=r"did you mean module_sdk_open_task_manager\?"):
        hooks_of(Plugin(), BackendHooks, "the backend of mine://")
