"""The example of a third-party backend passes the contract with only the two wheels installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.support.environments import ROOT, Environment, build

EXAMPLE: Final = ROOT / "examples" / "module-sdk-duckdb"
WHERE: Final = "import module_sdk_contract, module_sdk_duckdb as m; print(module_sdk_contract.__file__, m.__file__)"


@pytest.fixture(scope="module")
def environment(built_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    plugin = build(EXAMPLE, tmp_path_factory.mktemp("plugin"))
    return Environment(tmp_path_factory.mktemp("environment"), built_wheel, plugin)


@pytest.mark.timeout(900)
def test_the_example_passes_the_suite_with_the_installed_wheels(environment: Environment, tmp_path: Path) -> None:
    # given a folder with only the author's tests, which import the installed packages
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    files = environment.run("python", "-I", "-c", WHERE).split()
    assert all(Path(file).is_relative_to(environment.site_packages) for file in files)

    # when they are run, outside CI in the quick tier
    tier = "core" if os.environ.get("CI") == "true" else "quick"
    output = environment.run(
        "pytest", "-p", "module_sdk_contract", "--tb=short", f"--contract-tier={tier}", cwd=tmp_path
    )

    # then every clause passes, except for the deviation of DuckDB
    assert "contract of tests/test_contract.py::TestDuckDB" in output
    assert "deviation: SEE-07" in output
    assert "failed:" not in output
    assert "unknown:" not in output


def test_the_command_line_serves_the_scheme_of_the_example(environment: Environment, tmp_path: Path) -> None:
    environment.run("module-sdk", "--url", "duckdb:///tasks.duckdb", "setup", cwd=tmp_path)
    printed = environment.run("module-sdk", "--url", "duckdb:///tasks.duckdb", "doctor", cwd=tmp_path)

    assert "DuckDB" in printed
    assert (tmp_path / "tasks.duckdb").is_file()
