"""The contract catches every seeded bug by the clause that the mutant names, and passes the stores without a bug."""

from __future__ import annotations

import pytest
from module_sdk_contract.catalogue import BINDING

from tests.mutants.matrix import PAGE, row
from tests.mutants.registry import CONTROLS, MUTANTS, Mutant, StoreKind
from tests.mutants.running import is_killed, run_mutants
from tests.mutants.selection import Ends


@pytest.fixture(scope="module")
def ends() -> Ends:
    """Return the outcomes of the tests of all mutants and controls, by store and clause, from one run of pytest."""
    return run_mutants()


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_seeded_bug_is_caught_by_the_clause_that_its_mutant_names(mutant: Mutant, ends: Ends) -> None:
    outcomes = ends.get(mutant.store.name, {}).get(mutant.clause, [])

    assert is_killed(mutant, ends), f"bug {mutant.number}, {mutant.name}, passes {mutant.clause}: {outcomes}"


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("control", CONTROLS, ids=lambda store: store.name)
def test_the_same_stores_without_a_bug_pass(control: StoreKind, ends: Ends) -> None:
    outcomes = {outcome for found in ends[control.name].values() for outcome in found}

    assert "passed" in outcomes
    assert outcomes <= {"passed", "not applicable"}


def test_every_bug_of_the_contract_has_a_mutant() -> None:
    numbers = {mutant.number for mutant in MUTANTS}

    assert {str(number) for number in range(1, 66)} <= numbers


def test_every_clause_has_a_mutant() -> None:
    named = {mutant.clause for mutant in MUTANTS}

    assert {clause.id for clause in BINDING} - named == set()


def test_the_page_lists_every_mutant() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.endswith((" yes |", " **no** |"))]

    assert lines == [f"{row(mutant)} yes |" for mutant in MUTANTS], "run python -m tests.mutants.matrix"
