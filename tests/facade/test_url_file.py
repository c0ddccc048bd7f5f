"""The setting `url_file`: the URL of the store is read from a file, such as a secret mounted by an orchestrator."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import ConfigurationError
from module_sdk.facade.runtime import get_runtime
from tests.support.command_line import CommandLine

SOURCES = ("configure", "environment", "module_sdk.toml", "pyproject.toml")
"""In falling precedence."""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, which is empty. The user's data folder is inside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def put(source: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put settings into a source, and return the arguments for `configure`."""
    if source == "configure":
        return dict(settings)
    if source == "environment":
        for name, value in settings.items():
            monkeypatch.setenv(f"MODULE_SDK_TASKS_{name.upper()}", value)
    else:
        table = "[tool.module-sdk]\n" if source == "pyproject.toml" else ""
        Path(source).write_text(table + "".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    return {}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("ending", ["", "\n", "\r\n", " \n\n"])
def test_a_url_is_read_from_a_file(source: str, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text(f"memory://app:zQ7xK9wV@from_a_file{ending}")

    module_sdk.configure(**put(source, {"url_file": "secret"}, monkeypatch))

    runtime = get_runtime()
    assert str(runtime.manager().url) == "memory://app:***@from_a_file"
    assert runtime.source.startswith("the file secret, named by ")
    assert tasks.list_user_tasks(1).error is None


@pytest.mark.parametrize(("stronger", "weaker"), [(a, b) for a in range(4) for b in range(a + 1, 4)])
@pytest.mark.parametrize("name", ["url", "url_file"])
def test_either_setting_of_a_source_replaces_both_settings_of_a_source_of_lower_precedence(
    stronger: int, weaker: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("strong").write_text("memory://strong")
    Path("weak").write_text("memory://weak")
    strong = {"url": "memory://strong"} if name == "url" else {"url_file": "strong"}
    weak = {"url_file": "weak"} if name == "url" else {"url": "memory://weak"}

    given = put(SOURCES[weaker], weak, monkeypatch) | put(SOURCES[stronger], strong, monkeypatch)
    module_sdk.configure(**given)

    assert str(get_runtime().manager().url) == "memory://strong"


@pytest.mark.parametrize("source", SOURCES)
def test_both_in_one_source_are_an_error_that_names_both(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text("memory://zQ7xK9wV")
    given = put(source, {"url": "memory://u:zQ7xK9wV@h", "url_file": "secret"}, monkeypatch)
    with pytest.raises(ConfigurationError, match="url and url_file are both given") as refused:
        module_sdk.configure(**given)
    assert "zQ7xK9wV" not in str(refused.value)
    if not given:
        assert isinstance(tasks.list_user_tasks(1).error, ConfigurationError)


@pytest.mark.parametrize("options", [{"url": None}, {"manager": object()}])
def test_a_file_together_with_no_manager_or_an_injected_one_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="only one of url, manager and url_file"):
        module_sdk.configure(url_file="secret", **options)


def test_a_manager_that_is_injected_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODULE_SDK_TASKS_URL_FILE", "/nonexistent")
    module_sdk.configure(manager=module_sdk.open_manager("memory://"))
    assert tasks.list_user_tasks(1).error is None


def make_files() -> None:
    Path("empty").touch()
    Path("blank").write_text(" \n\n")
    Path("two lines").write_text("memory://u:zQ7xK9wV@h\nmemory://")
    Path("not text").write_bytes(b"memory://u:zQ7xK9wV@h\xff")
    Path("not a URL").write_text("zQ7xK9wV")
    Path("mistyped").write_text("postgresql:/u:zQ7xK9wV@h/db")
    Path("NUL").write_bytes(b"memory://zQ7xK9wV\0")
    Path("long").write_text("memory://zQ7xK9wV" + "a" * 70_000)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("broken symlink").symlink_to("nowhere")
    Path("below a file").touch()


BAD_FILES = {
    "missing": "No such file",
    "empty": "is empty",
    "blank": "is empty",
    "two lines": "more than one line",
    "not text": "not UTF-8",
    "folder": "not a regular file",
    "pipe": "not a regular file",
    "broken symlink": "No such file",
    "below a file/file": "Not a directory",
    "x" * 300: "too long",
    "/proc/self/mem": "cannot be read",
}
BAD_CONTENTS = ["not a URL", "mistyped", "NUL", "long"]


@pytest.mark.parametrize(("name", "reason"), BAD_FILES.items(), ids=[name[:20] for name in BAD_FILES])
def test_a_file_that_cannot_be_used_is_an_error_that_names_it(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    make_files()
    monkeypatch.setenv("MODULE_SDK_TASKS_URL_FILE", name)
    error = tasks.list_user_tasks(1).error
    assert isinstance(error, ConfigurationError)
    shown = "".join(traceback.format_exception(error)) + repr(error.__context__)
    assert name in str(error)
    assert reason in str(error)
    assert "zQ7xK9wV" not in shown
    assert not (empty_folder / "data").exists()


@pytest.mark.parametrize("name", BAD_CONTENTS)
def test_a_bad_url_in_a_file_is_not_repeated(name: str) -> None:
    make_files()
    with pytest.raises(ConfigurationError) as refused:
        module_sdk.configure(url_file=name)
    assert "zQ7xK9wV" not in "".join(traceback.format_exception(refused.value)) + repr(refused.value.__context__)


@pytest.mark.parametrize("name", ["", b"secret", 5, None, [], "postgresql://u:zQ7xK9wV@h/db", "u:zQ7xK9wV@h", "a\0b"])
def test_a_value_that_is_not_a_file_name_is_refused_without_repeating_it(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="url_file") as refused:
        module_sdk.configure(url_file=name)
    assert "zQ7xK9wV" not in str(refused.value)


def test_the_file_may_be_a_path_object() -> None:
    Path("secret").write_text("memory://")
    module_sdk.configure(url_file=Path("secret"))
    assert tasks.list_user_tasks(1).error is None


def test_doctor_shows_the_file_and_the_source_of_its_name(tmp_path: Path) -> None:
    command_line = CommandLine(tmp_path)
    (tmp_path / "secret").write_text("sqlite:///from_a_file.db\n")
    store = command_line.read("doctor", MODULE_SDK_TASKS_URL_FILE="secret")["store"]
    assert store["url"] == "sqlite:///from_a_file.db"
    assert store["from"] == "the file secret, named by the environment variable MODULE_SDK_TASKS_URL_FILE"
    # The URL option of a command takes precedence, also in a process that the command starts.
    assert "memory" in command_line.succeed("--url", "memory://", "doctor", MODULE_SDK_TASKS_URL_FILE="secret")
    assert "No such file" in command_line.fail("tasks", "list", MODULE_SDK_TASKS_URL_FILE="missing")
