"""The command line as a whole: its entry point, its global options, its errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import module_sdk
from tests.support.command_line import CommandLine


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_the_installed_command_prints_its_version() -> None:
    command = Path(sys.executable).with_name("module-sdk")

    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == f"module-sdk {module_sdk.__version__}\n"


@pytest.mark.parametrize("command", [[], ["demo"], ["tasks", "list"]])
def test_help_needs_no_store(command_line: CommandLine, command: list[str]) -> None:
    out = command_line.succeed(*command, "--help", MODULE_SDK_TASKS_URL="nonsense")

    assert "Usage: module-sdk" in out
    assert not command_line.default_file.exists()


@pytest.mark.parametrize("command", [["tasks", "list"], ["demo"], ["doctor"], ["setup"]])
def test_an_unknown_scheme_is_one_clear_line(command_line: CommandLine, command: list[str]) -> None:
    line = command_line.fail("--url", "nosuch://user:s3cret@host/", *command)

    assert "no backend is installed for nosuch://" in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "nonsense", "tasks", "list"], "the store URL must look like"),
        (["--namespace", "Not__this", "tasks", "list"], "namespace must be"),
        (["--url", "sqlite:////nowhere/at/all.db", "tasks", "list"], "/nowhere/at does not exist"),
        (["tasks", "list", "--status", "done"], "'done' is not one of pending, running"),
        (["tasks", "list", "--sort", "size"], "'size' is not a field"),
        (["tasks", "list", "--organization", "a", "--no-organization"], "pass either"),
        (["tasks", "prune", "--older-than", "a while"], "'a while' is not a duration"),
        (["tasks", "show", "not an id"], "there is no task not an id"),
    ],
)
def test_wrong_arguments_are_one_clear_line(command_line: CommandLine, arguments: list[str], words: str) -> None:
    assert words in command_line.fail(*arguments)


@pytest.mark.parametrize("command", [["tasks", "list"], ["tasks", "watch"], ["demo"], ["doctor"]])
def test_a_corrupt_file_is_one_clear_line(command_line: CommandLine, command: list[str]) -> None:
    (command_line.home / "corrupt.db").write_bytes(b"this is no database" * 100)

    line = command_line.fail("--url", "sqlite:///corrupt.db", *command)

    assert "the file is not a SQLite database" in line


def test_the_environment_chooses_the_store_unless_the_option_does(command_line: CommandLine) -> None:
    command_line.succeed("setup", MODULE_SDK_TASKS_URL="sqlite:///environment.db")
    command_line.succeed("--url", "sqlite:///option.db", "setup", MODULE_SDK_TASKS_URL="sqlite:///other.db")

    assert (command_line.home / "environment.db").exists()
    assert (command_line.home / "option.db").exists()
    assert not (command_line.home / "other.db").exists()
    assert not command_line.default_file.exists()


def test_namespaces_are_separate(command_line: CommandLine) -> None:
    first = ("--url", "sqlite:///tasks.db", "--namespace", "first")
    command_line.succeed(*first, "setup")
    manager = module_sdk.open_manager(f"sqlite:///{command_line.home / 'tasks.db'}", namespace="first")
    manager.create(module_sdk.Task.new(user_id=7, module="tests"))
    manager.close()

    assert command_line.read(*first, "tasks", "list")["total_rows"] == 1
    assert command_line.read("--url", "sqlite:///tasks.db", "tasks", "list")["total_rows"] == 0


def test_setup_reports_the_schema_and_may_be_repeated(command_line: CommandLine) -> None:
    store = {"MODULE_SDK_TASKS_AUTO_SETUP": "false"}
    assert "run 'module-sdk setup'" in command_line.fail("tasks", "list", **store)

    first, second = (command_line.read("setup", **store) for _ in range(2))

    assert first["url"] == second["url"] == f"sqlite:///{command_line.default_file}"
    assert first["facts"]["schema version"] == second["facts"]["schema version"]
    assert command_line.read("tasks", "list", **store)["rows"] == []


def test_the_output_is_escaped_on_a_terminal_without_unicode(command_line: CommandLine) -> None:
    manager = command_line.default_manager()
    manager.create(module_sdk.Task.new(user_id=7, module="tests", label="Größe"))
    manager.close()

    out = command_line.succeed("tasks", "list", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert "Gr\\xf6\\xdfe" in out
