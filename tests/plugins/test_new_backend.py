"""`module-sdk new-backend`: the files that it writes, the names that it refuses, and the report on a skeleton.

`test_docs.py` checks that a skeleton passes once its methods are written, by following docs/write-a-backend.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from module_sdk.backends import TaskManager
from tests.support.command_line import CommandLine
from tests.support.environments import ROOT, Environment

LONGEST = "a" * 40


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture(scope="module")
def environment(built_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment"), built_wheel)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_new_backend_writes_a_distribution_and_prints_the_next_step(command_line: CommandLine) -> None:
    printed = command_line.succeed("new-backend", "my-db2")

    project = command_line.home / "module-sdk-my-db2"
    assert printed == f"{project.name} is written. Next: cd {project.name} && pip install -e '.[test]' && pytest\n"
    written = contents(project)
    assert sorted(written) == [
        "README.md",
        "module_sdk_my_db2/__init__.py",
        "module_sdk_my_db2/manager.py",
        "module_sdk_my_db2/plugin.py",
        "module_sdk_my_db2/py.typed",
        "pyproject.toml",
        "tests/test_contract.py",
    ]
    assert [name for name, text in written.items() if "$" in text] == []
    assert 'my-db2 = "module_sdk_my_db2.plugin"' in written["pyproject.toml"]
    assert "class MyDb2TaskManager(TaskManager):" in written["module_sdk_my_db2/manager.py"]


def test_the_skeleton_has_every_primitive_of_the_base_class(command_line: CommandLine) -> None:
    command_line.succeed("new-backend", "mydb")

    text = contents(command_line.home)["module-sdk-mydb/module_sdk_mydb/manager.py"]
    assert {name for name in TaskManager.__abstractmethods__ if f"def {name}(" not in text} == set()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "must consist of a-z, 0-9"),
        ("MyDB", "must consist of a-z, 0-9"),
        ("my_db", "must consist of a-z, 0-9"),
        ("2db", "begin with a letter"),
        ("my--db", "single '-' inside"),
        ("db-", "single '-' inside"),
        ("../db", "must consist of a-z, 0-9"),
        ("dbé", "must consist of a-z, 0-9"),
        (f"{LONGEST}a", "must be at most 40 characters, not 41"),
        ("memory", "memory:// is served by an installed backend"),
        ("contract", "the package module_sdk_contract is installed"),
    ],
)
def test_an_impossible_name_is_refused(command_line: CommandLine, name: str, words: str) -> None:
    line = command_line.fail("new-backend", name)

    assert "name" in line
    assert words in line
    assert list(command_line.home.iterdir()) == []


def test_an_existing_folder_is_not_changed(command_line: CommandLine) -> None:
    command_line.succeed("new-backend", LONGEST)
    before = contents(command_line.home)

    line = command_line.fail("new-backend", LONGEST)

    assert "exists already" in line
    assert contents(command_line.home) == before


def test_the_parent_folder_can_be_chosen_and_must_exist(command_line: CommandLine) -> None:
    (command_line.home / "plugins").mkdir()
    command_line.succeed("new-backend", "mydb", "--folder", "plugins")

    assert (command_line.home / "plugins" / "module-sdk-mydb" / "pyproject.toml").is_file()
    assert "the folder nowhere does not exist" in command_line.fail("new-backend", "mydb", "--folder", "nowhere")


def test_the_skeleton_passes_the_checks_of_this_repository(command_line: CommandLine) -> None:
    command_line.succeed("new-backend", "mydb")

    for check in (
        # The skeleton imports the driver inside a function, so that users without it can load the plugin.
        ["ruff", "check", "--config", ROOT / "pyproject.toml", "--ignore", "PLC0415", "."],
        ["ruff", "format", "--config", ROOT / "pyproject.toml", "--check", "."],
        ["mypy", "--strict", "--config-file=", "module_sdk_mydb", "tests"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *check],
            cwd=command_line.home / "module-sdk-mydb",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_the_report_on_a_skeleton_says_per_clause_which_method_is_missing(
    environment: Environment, tmp_path: Path
) -> None:
    # given a skeleton made by the installed command, installed as its author would
    environment.run("module-sdk", "new-backend", "mydb", cwd=tmp_path)
    project = tmp_path / "module-sdk-mydb"
    environment.run("pip", "install", "-e", f"{project}[test]")

    # when its suite is run
    done = subprocess.run(
        [environment.scripts / "pytest", "--contract-report=report"],
        cwd=project,
        env=environment.variables(),
        capture_output=True,
        text=True,
        check=False,
    )

    # then the run is complete, and the clauses have their verdicts
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    (report,) = (json.loads(path.read_text()) for path in (project / "report").rglob("report.json"))
    assert report["level"] == "PARTIAL"
    clauses: dict[str, dict[str, Any]] = report["clauses"]
    assert [name for name in ("DISC-01", "DISC-02", "DISC-03") if clauses[name]["verdict"] != "passed"] == []
    failed = {name: clause["failures"] for name, clause in clauses.items() if clause["verdict"] == "failed"}
    assert len(failed) > 90
    assert {name for name, failures in failed.items() if "is not written yet" not in "".join(failures)} == set()
    # and the summary names the missing primitives and the clauses that wait for them
    assert "not written yet: store_create; clauses that wait for it: " in done.stdout
    assert "not written yet: store_import; clauses that wait for it: " in done.stdout
