"""Runs of the contract suite as its users run it: pytest in a process and a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from module_sdk_contract.report.results import Ledger

from tests.support.environments import ROOT

SUITE = """
import datetime
import pytest
from module_sdk_contract import Deviation, TaskManagerContract

class TestIt(TaskManagerContract):
    url = "memory://it"
    opener = "{opener}"
    deviations = [{deviations}]
{body}
"""
STRICT = ("-W", "error::pytest.PytestWarning", "-p", "no:asyncio", "-p", "no:valkey", "-p", "no:hypothesispytest")
"""Warnings of pytest are errors. The plugin of hypothesis is off, since it imports all of hypothesis after each run."""
LOAD_PLUGIN = ("-p", "module_sdk_contract")
FOLDING_OPENER = "tests.mutants.rules.key:KeysFoldCase.open"
GOOD_OPENER = "module_sdk:open_manager"


def pytest_run(
    folder: Path, *arguments: str | Path, loaded: tuple[str, ...] = LOAD_PLUGIN, **environment: str
) -> tuple[int, str]:
    """Run pytest in the folder, with the contract's plugin unless `loaded` is empty; return its status and output."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *loaded, *arguments, *STRICT],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


def write_suite(folder: Path, *, opener: str = GOOD_OPENER, deviations: Iterable[str] = (), body: str = "") -> None:
    (folder / "test_it.py").write_text(SUITE.format(opener=opener, deviations=", ".join(deviations), body=body))


def run_suite(
    folder: Path,
    chosen: str,
    *arguments: str,
    opener: str = GOOD_OPENER,
    deviations: Iterable[str] = (),
    body: str = "",
) -> tuple[int, str, dict[str, Any]]:
    """Run the tests of a suite that `chosen` selects, and return pytest's status and output and the report."""
    write_suite(folder, opener=opener, deviations=deviations, body=body)
    status, output = pytest_run(folder, "-rsxX", "-k", chosen, "--contract-report=report", *arguments)
    return status, output, report_in(folder / "report" / "TestIt")


def report_in(folder: Path) -> dict[str, Any]:
    """Return the report in the folder, or an empty dict if none was written."""
    path = folder / "report.json"
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return report


def record(ledger: Ledger, verdicts: dict[str, str], *, reason: str = "", hook_missing: bool = False) -> None:
    """Record a test that took one second."""
    ledger.record(
        {
            "verdicts": verdicts,
            "reason": reason,
            "hook_missing": hook_missing,
            "failures": {},
            "calls": 0,
            "by_assertion": False,
            "seconds": 1.0,
            "refusal": "",
            "suite": {
                "id": ledger.suite,
                "joined": False,
                "deviations": [],
                "tests": 1,
                "deselected": [],
                "partly_run_clauses": [],
            },
        },
        f"test {len(ledger.decided)}",
    )
