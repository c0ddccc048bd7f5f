"""The example of a third-party backend passes the contract where only the two wheels are installed."""

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
def test_the_suite_is_green_on_the_installed_wheels(environment: Environment, tmp_path: Path) -> None:
    # given the author's tests, in a folder that has nothing else, and what they import
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    files = environment.run("python", "-I", "-c", WHERE).split()
    assert all(Path(file).is_relative_to(environment.site_packages) for file in files)

    # when they are run, where time is dear as the sample that the suite offers
    tier = "core" if os.environ.get("CI") == "true" else "quick"
    output = environment.run(
        "pytest", "-p", "module_sdk_contract", "--tb=short", f"--contract-tier={tier}", cwd=tmp_path
    )

    # then every clause is green, but for what DuckDB cannot do
    assert "contract of tests/test_contract.py::TestDuckDB" in output
    assert "deviation: SEE-07" in output
    assert "failed:" not in output
    assert "unknown:" not in output


def test_the_scheme_is_installed(environment: Environment, tmp_path: Path) -> None:
    environment.run("module-sdk", "--url", "duckdb:///tasks.duckdb", "setup", cwd=tmp_path)
    found = environment.run("module-sdk", "--url", "duckdb:///tasks.duckdb", "doctor", cwd=tmp_path)

    assert "DuckDB" in found
    assert (tmp_path / "tasks.duckdb").is_file()
