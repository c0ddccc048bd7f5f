"""Every example in the documents works (CONTRIBUTING.md, "Documents are tested")."""

from __future__ import annotations

import inspect
import operator
import os
import re
import subprocess
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

import module_sdk
from module_sdk import models, tasks, ui
from module_sdk.hookspecs import ObserverHooks
from module_sdk.settings import SETTING_NAMES, Settings
from tests.test_layout import STORE_EXTRAS

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROMPT: Final = "$ "
ANYTHING: Final = "…"


def run_console(example: Example) -> str | None:
    """Run the commands of a console block; what is wrong, if anything is."""
    commands = re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]
    if not commands:
        return f"a console block has no line that begins with {PROMPT!r}"
    for command, *shown in (text.rstrip().split("\n") for text in commands):
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            return f"{command} ended with {done.returncode}:\n{done.stdout}"
        for line in shown:
            if not re.search(re.escape(line.strip()).replace(ANYTHING, ".*"), done.stdout):
                return f"{command} did not print {line!r} but:\n{done.stdout}"
    return None


SYBIL: Final = Sybil([PythonCodeBlockParser(), CodeBlockParser("console", run_console)])


def run_document(path: Path) -> int:
    """Run every block, in order, in one namespace; how many there were."""
    examples = list(SYBIL.parse(path))
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.fixture(autouse=True)
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone who has installed the package, with nothing configured and an empty home as working folder."""
    for name in os.environ:
        if name.startswith(("MODULE_SDK_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)


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


def test_the_calls_of_the_reference_take_what_it_says() -> None:
    # given the calls in its tables, and the components
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
        if not isinstance(value, bool | str)
    }
    assert documented == {name: str(value).lower() for name, value in values.items()} | written


def test_every_scheme_and_extra_of_a_store_is_in_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    schemes = project["entry-points"]["module_sdk.backends"].keys() - {"postgres"}  # another name of postgresql
    assert {scheme for scheme in schemes if f"`{scheme}://" not in text} == set()
    assert {extra for extra in STORE_EXTRAS if f"`module-sdk[{extra}]`" not in text} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_document_work(path: Path) -> None:
    run_document(path)


def write(text: str) -> Path:
    path = Path("page.md")
    path.write_text(text)
    return path


def test_blocks_share_their_names_and_run_in_order() -> None:
    page = write("```python\nx = 1\n```\n```py\nnot run\n```\n```python\nassert x == 1\n```\n")
    assert run_document(page) == 2


def test_a_block_that_raises_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        run_document(write("```python\n1 / 0\n```\n"))


def test_a_console_block_runs_its_commands_and_compares_what_is_shown() -> None:
    page = write("```console\n$ echo one; echo 2 two\none\n… two\n$ true\n```\n```sh\nfalse\n```\n")
    assert run_document(page) == 1


@pytest.mark.parametrize(
    "block", ["$ false", "$ echo one\ntwo", "echo no prompt"], ids=["status", "output", "nothing to run"]
)
def test_a_console_block_that_is_wrong_fails(block: str) -> None:
    with pytest.raises(AssertionError):
        run_document(write(f"```console\n{block}\n```\n"))
