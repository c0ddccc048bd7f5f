"""The documents name every public name, setting and store, with the parameters and defaults of the code."""

from __future__ import annotations

import inspect
import operator
import re
import tomllib
from collections.abc import Callable
from typing import Any

import module_sdk
from module_sdk import models, tasks, ui
from module_sdk.facade.settings import SETTING_NAMES, Settings
from module_sdk.plugins.hookspecs import ObserverHooks
from tests.project.test_layout import STORE_EXTRAS
from tests.support.environments import ROOT


def words_of(name: str) -> set[str]:
    return set(re.findall(r"\w+", (ROOT / name).read_text()))


def test_every_public_name_and_setting_is_documented() -> None:
    public = {*module_sdk.__all__, *tasks.__all__, *ui.__all__}
    public |= {name for name in vars(type(models.background_tasks)) if not name.startswith("_")}
    hooks = {name for name in vars(ObserverHooks) if name.startswith("module_sdk_")}
    assert (public | hooks) - words_of("docs/reference.md") == set()
    assert SETTING_NAMES - words_of("docs/configuration.md") == set()


def shape(call: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(call).parameters.values()]


def test_the_calls_of_the_reference_have_the_documented_parameters() -> None:
    # given the calls in the tables of the reference, and the components
    text = (ROOT / "docs" / "reference.md").read_text()
    calls = re.findall(r"^\| (?:.*, )?`(tasks\.\w+)\(([^`]*)\)`", text, re.MULTILINE)
    calls += re.findall(r"`(ui\.BackgroundTask)\(([^`]*)\)`", text.replace("`BackgroundTask(", "`ui.BackgroundTask("))
    assert len(calls) > 10

    # then each has these parameters, in this order, with these defaults
    for name, parameters in calls:
        documented = eval(f"lambda {' '.join(parameters.split())}: None")
        assert shape(documented) == shape(operator.attrgetter(name)(module_sdk)), name


def test_the_defaults_of_settings_are_the_documented_ones() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE)
    documented = {name: text.strip("` ") for name, text in rows if name != "url"}
    values = {name: getattr(Settings(), name) for name in SETTING_NAMES - {"url"}}
    written = {
        name: f"{value:,g}" if isinstance(value, float) else f"{value:,}"
        for name, value in values.items()
        if not isinstance(value, bool | str | None)
    }
    assert documented == {name: str(value).lower() for name, value in values.items()} | written


def test_every_scheme_and_extra_of_a_store_is_in_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    schemes = project["entry-points"]["module_sdk.backends"].keys() - {"postgres"}  # another name of postgresql
    assert {scheme for scheme in schemes if f"`{scheme}://" not in text} == set()
    assert {extra for extra in STORE_EXTRAS if f"`module-sdk[{extra}]`" not in text} == set()
