"""`pytest` alone runs the quick part, which leaves out what its list names and nothing else (CONTRIBUTING.md)."""

from __future__ import annotations

import fnmatch
import runpy
import subprocess
import sys
from typing import Final

from tests.support.environments import ROOT

LONG: Final[tuple[str, ...]] = runpy.run_path(str(ROOT / "conftest.py"))["LONG"]
ESSENTIAL: Final = (
    "backends/memory/tests/test_contract.py::TestMemory::*",
    "backends/sql/tests/test_contract.py::TestSQLiteFile::*",
    "backends/sql/tests/test_contract.py::TestPostgreSQL::*",
    "backends/redis/tests/test_contract.py::TestValkey::*",
    "backends/mongo/tests/test_contract.py::TestMongoDB::*",
    "tests/cli/*",
    "tests/facade/*",
    "tests/runner/*",
    "tests/project/test_docs.py::*",
    "tests/plugins/test_example_backend.py::*",
)
"""The quick part must contain these."""


def collected(*options: str) -> list[str]:
    """Return the ids of the tests that a run of pytest without a path collects."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in run.stdout.splitlines() if "::" in line]


def test_the_quick_part_leaves_out_what_the_list_names() -> None:
    all_tests, quick = collected("--part=all", "--contract-tier=quick"), collected()

    assert [pattern for pattern in LONG if not fnmatch.filter(all_tests, pattern)] == [], "matches no test"
    assert [pattern for pattern in ESSENTIAL if not fnmatch.filter(quick, pattern)] == [], "left out"
    assert [name for name in all_tests if not any(fnmatch.fnmatch(name, pattern) for pattern in LONG)] == quick
