"""Runs of pytest over the suites of the mutants, and how their tests ended."""

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
"""Each part is run by a process of its own. A test may kill its server, so one process has all tests of a server."""
LEAN: Final = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""Without the cache, which both would write, and without a plugin that imports all of hypothesis at the end."""


def run_mutants(*options: str) -> Ends:
    """How the tests of each mutant and control ended, by store and clause."""
    with ThreadPoolExecutor(len(PARTS)) as threads:
        runs = [threads.submit(run_part, places, *options) for places in PARTS]
    return {store: ends for run in runs for store, ends in run.result().items()}


def run_part(places: tuple[str, ...], *options: str) -> Ends:
    """The same, of the stores that lie in these places."""
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
        command += [*LEAN, *(f"--mutant-place={place}" for place in places), *options]
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
    """Whether a test of the clause that names it failed, by an assertion."""
    return "failed" in ends.get(mutant.placed.name, {}).get(mutant.clause, ())
