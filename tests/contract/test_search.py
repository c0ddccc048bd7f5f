"""The search of the deep tier finds bugs, shows each as a program, and makes the same runs for the same seed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from module_sdk_contract.groups.deep import DeepClauses
from module_sdk_contract.harness import Store
from module_sdk_contract.processes.workers import environment
from module_sdk_contract.report.verdicts import Unknown
from module_sdk_contract.search.state_machine import search_for_violations
from module_sdk_contract.suite import StoreUnderTest
from module_sdk_contract.violations import ContractViolation

from module_sdk.backends import TaskManager
from tests.mutants.registry import StoreKind
from tests.mutants.rules.key import KeysFoldCase
from tests.mutants.rules.row import ExtraField
from tests.mutants.stores.memory import MemoryMutant
from tests.support.environments import ROOT


class InMemory(StoreUnderTest):
    url = "memory://searched"

    def __init__(self, store: type[TaskManager]) -> None:
        type(self).opener = StoreKind(store, "memory").opener


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = Store(InMemory(request.param), tmp_path, ("SEE-01",))
    store.begin()
    yield store
    store.close()


def search(store: Store, seed: int = 0, runs: int = 200) -> ContractViolation:
    with pytest.raises(ContractViolation) as raised:
        search_for_violations(store, seed_number=seed, runs=runs, steps=20, budget_seconds=60)
    return raised.value


def program(violation: ContractViolation) -> str:
    return str(violation).partition("# seed")[2].partition("\n")[2]


@pytest.mark.parametrize("broken", [KeysFoldCase], indirect=True)
def test_a_violation_is_shown_as_a_short_program(broken: Store) -> None:
    violation = search(broken)

    shown = program(violation)
    command = [sys.executable, "-c", shown]
    run = subprocess.run(command, env=environment(ROOT), capture_output=True, text=True, check=False)
    assert violation.violations[0].clause == "KEY-01"
    assert shown.count("manager.create(") == 1
    assert "print(manager.get_tasks_by_key(" in shown
    assert "'task_key': " in run.stdout, run.stderr


@pytest.mark.parametrize("broken", [ExtraField], indirect=True)
def test_the_same_seed_makes_the_same_runs(broken: Store) -> None:
    first, second = (str(search(broken, seed=7, runs=20)) for _ in range(2))

    assert first == second
    assert "seed 7, run" in first


@pytest.mark.parametrize("broken", [MemoryMutant], indirect=True)
def test_a_correct_store_passes_the_search(broken: Store) -> None:
    assert search_for_violations(broken, seed_number=3, runs=20, steps=10, budget_seconds=60) >= 20


@pytest.mark.parametrize("broken", [MemoryMutant], indirect=True)
def test_a_search_ends_at_its_time_limit(broken: Store) -> None:
    assert search_for_violations(broken, seed_number=0, runs=20, steps=10, budget_seconds=0) == 0


@pytest.mark.parametrize("broken", [MemoryMutant], indirect=True)
def test_without_hypothesis_the_clauses_are_unknown(broken: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "module_sdk_contract.search.state_machine")
    monkeypatch.setitem(sys.modules, "hypothesis", None)

    with pytest.raises(Unknown, match="the deep tier needs hypothesis"):
        DeepClauses().test_no_random_steps_break_a_clause(broken)
