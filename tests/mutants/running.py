"""Runs of pytest over the suites of the mutants, and their outcomes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.mutants.registry import Mutant
from tests.mutants.selection import Ends

ROOT: Final = Path(__file__).parents[2]
PARTS: Final = (("memory", "wire", "sqlite"), ("postgresql", "pooler", "mariadb", "valkey", "mongodb"))
"""The kinds of store that each process tests. A test may kill its server, so one process runs all tests of a server."""
WITHOUT_PLUGINS: Final = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""Both processes would write the cache, and the plugin of hypothesis imports all of hypothesis at the end of a run."""


def run_mutants(*options: str) -> Ends:
    """Run all mutants and controls with these options of pytest, and return the outcomes by store and clause."""
    with ThreadPoolExecutor(len(PARTS)) as threads:
        runs = [threads.submit(run_part, kinds, *options) for kinds in PARTS]
    return {store: ends for run in runs for store, ends in run.result().items()}


def run_part(kinds: tuple[str, ...], *options: str) -> Ends:
    """Run the mutants and controls on these kinds of store, and return the outcomes by store and clause.

    Raise `RuntimeError` with the output of pytest if it wrote none.
    """
    with tempfile.TemporaryDirectory() as folder:
        verdicts = Path(folder) / "verdicts.json"
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "pytest",
            ROOT / "tests" / "mutants" / "suites.py",
            "--tb=no",
            "-q",
        ]
        command += ["-p", "tests.mutants.selection", f"--mutant-verdicts={verdicts}", "--contract-tier=deep"]
        command += [*WITHOUT_PLUGINS, *(f"--mutant-store={kind}" for kind in kinds), *options]
        run = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if not verdicts.exists():
            raise RuntimeError(run.stdout[-5_000:])
        found: Ends = json.loads(verdicts.read_text())
        return found


def is_killed(mutant: Mutant, ends: Ends) -> bool:
    """Return whether a test of the mutant's clause failed by an assertion."""
    return "failed" in ends.get(mutant.store.name, {}).get(mutant.clause, ())
