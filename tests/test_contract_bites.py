"""The contract catches every seeded bug, by the clause that names it, and no store that is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.registry import CONTROLS, MUTANTS, Mutant
from tests.mutants.selection import Ends

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    """How the tests of each mutant and control ended, by store and clause: one run of pytest for all."""
    verdicts = tmp_path_factory.mktemp("mutants") / "verdicts.json"
    suites = ROOT / "tests" / "mutants" / "suites.py"
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            suites,
            "-p",
            "tests.mutants.selection",
            f"--mutant-verdicts={verdicts}",
            "--tb=no",
            "-q",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert verdicts.exists(), run.stdout[-5_000:]
    found: Ends = json.loads(verdicts.read_text())
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_seeded_bug_is_caught_by_the_clause_that_names_it(mutant: Mutant, ends: Ends) -> None:
    outcomes = ends[mutant.store.__name__].get(mutant.clause, [])

    assert "failed" in outcomes, f"bug {mutant.number}, {mutant.name}, goes through {mutant.clause}: {outcomes}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("control", CONTROLS)
def test_the_same_stores_without_a_bug_pass(control: type, ends: Ends) -> None:
    outcomes = {outcome for found in ends[control.__name__].values() for outcome in found}

    assert "passed" in outcomes
    assert outcomes <= {"passed", "not applicable"}


def test_every_bug_of_the_contract_has_a_mutant() -> None:
    numbers = {mutant.number for mutant in MUTANTS}

    assert {str(number) for number in range(1, 66)} <= numbers
