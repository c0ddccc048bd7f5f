"""The contract suite without a test file: with an option of pytest, and with `module-sdk contract`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from module_sdk.cli.main import app
from tests.support.command_line import CommandLine
from tests.support.contract_runs import FOLDING_OPENER, pytest_run, report_in
from tests.support.environments import ROOT

JOIN = ("--pyargs", "module_sdk_contract")


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_one_command_of_pytest_runs_the_suite_in_any_project(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = check_*.py\n")

    status, output = pytest_run(tmp_path, *JOIN, "--task-manager-url=memory://", "--contract-clause=KEY")

    assert status == 0, output
    assert "contract of memory://" in output
    assert "canaries: 7 of 7 noticed" in output


def test_the_url_may_come_from_the_environment_and_the_opener_from_an_option(tmp_path: Path) -> None:
    status, output = pytest_run(
        tmp_path,
        *JOIN,
        f"--task-manager-opener={FOLDING_OPENER}",
        "--contract-clause=KEY-01",
        MODULE_SDK_CONTRACT_URL="memory://",
    )

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "failed: KEY-01" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--task-manager-url, or the environment variable MODULE_SDK_CONTRACT_URL, must name the store"),
        (("--task-manager-url=nodb://ann:hunter2@here",), "no backend is installed for nodb://"),
        (("--task-manager-url=memory://", "--contract-clause=KEY-99"), "no clause or group is called 'KEY-99'"),
    ],
)
def test_a_wrong_option_is_one_usage_error(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    status, output = pytest_run(tmp_path, *JOIN, *arguments)

    assert status == pytest.ExitCode.USAGE_ERROR
    assert message in output
    assert "hunter2" not in output


def test_a_tier_runs_all_tests_of_the_lower_ones_and_more(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "from module_sdk_contract.markers import clause, tier\n"
        "from module_sdk_contract.suite import StoreUnderTest\n"
        "class TestIt(StoreUnderTest):\n"
        "    url = 'memory://'\n"
        "    @clause('KEY-01')\n"
        "    @pytest.mark.parametrize('number', range(8))\n"
        "    def test_many(self, store, number):\n"
        "        assert store.seed == 6\n"
        "    @tier('core')\n"
        "    @clause('KEY-02')\n"
        "    def test_slow(self, store): pass\n"
        "    @tier('deep')\n"
        "    @clause('KEY-03')\n"
        "    def test_deep(self, store): pass\n"
    )

    ran = [
        pytest_run(tmp_path, "--contract-seed=6", option)[1]
        for option in ("--contract-quick", "-q", "--contract-tier=deep")
    ]

    assert "2 passed, 8 deselected" in ran[0]
    assert "9 passed, 1 deselected" in ran[1]
    assert "10 passed" in ran[2]
    assert all("seed 6" in output for output in ran)


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_command_judges_a_store_and_writes_the_report(command_line: CommandLine, tmp_path: Path) -> None:
    # given a project whose own tests and settings would break a run
    (tmp_path / "conftest.py").write_text("raise RuntimeError\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")

    printed = command_line.succeed("contract", "memory://", "-k", "KEY", "--seed", "3", "--report", "out")

    report = report_in(tmp_path / "out")
    assert "level: PARTIAL" in printed
    assert "report: " in printed
    assert (report["seed"], report["clauses"]["KEY-01"]["verdict"]) == (3, "passed")


def test_the_command_shows_a_broken_clause_and_exits_with_1(command_line: CommandLine) -> None:
    done = command_line.run("contract", "memory://", "-k", "KEY-01", "--opener", FOLDING_OPENER, PYTHONPATH=str(ROOT))

    assert done.returncode == 1
    assert "KEY-01: Keys are equal by code points" in done.stdout
    assert "failed: KEY-01" in done.stdout


def test_the_command_exits_with_2_if_it_cannot_judge(command_line: CommandLine) -> None:
    done = command_line.run("contract", MODULE_SDK_CONTRACT_URL="nodb://ann:hunter2@here")

    assert done.returncode == 2
    assert "no backend is installed for nodb://" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_the_command_names_the_extra_when_pytest_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pytest" else found(name))

    done = CliRunner().invoke(app, ["contract", "memory://"])

    assert done.exit_code == 2
    assert 'pip install "module-sdk[contract]"' in done.stderr
