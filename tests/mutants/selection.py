"""A pytest plugin that tests each mutant only against the clauses that must catch it, and the controls against all.

`python -m pytest tests/mutants/suites.py -p tests.mutants.selection --mutant-verdicts=FILE` writes the outcome of each
test by store and clause: the contract's own verdict, or `crashed` for a failure that was not an assertion. The tests
of a mutant stop as soon as all of its clauses have caught it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest
from module_sdk_contract.markers import MARKER, clauses_of

from tests.mutants.registry import MUTANTS, STORES, clauses_to_test

PREFIX: Final = "Test_"
Ends = dict[str, dict[str, list[str]]]
"""The outcomes of the tests, by store and clause."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutants", choices=("all", "races"), default="all", help="which mutants to run")
    parser.addoption("--mutant-store", action="append", default=[], help="a kind of store to test; default: all kinds")
    parser.addoption("--mutant-verdicts", type=Path, help="the file to write the outcome of each test to")


def pytest_configure(config: pytest.Config) -> None:
    option = config.getoption
    config.pluginmanager.register(
        Selection(option("--mutant-verdicts"), option("--mutant-store"), only_races=option("--mutants") == "races")
    )


class Selection:
    """The hooks that select tests and record their outcomes."""

    def __init__(self, verdicts: Path, kinds: list[str], *, only_races: bool) -> None:
        self.verdicts = verdicts
        chosen = [store for store in STORES if store.kind in kinds or not kinds]
        self.clauses = {store.name: clauses_to_test(store) for store in chosen}
        if only_races:
            racing = {(mutant.store.name, mutant.clause) for mutant in MUTANTS if mutant.is_race}
            self.clauses = {name: {c for c in clauses if (name, c) in racing} for name, clauses in self.clauses.items()}
        self.ends: Ends = defaultdict(lambda: defaultdict(list))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, name: str, obj: object) -> list[pytest.Item] | None:
        """Collect nothing from the suite of a store that was not chosen; leave the rest to other plugins."""
        is_suite = isinstance(obj, type) and name.startswith(PREFIX)
        return [] if is_suite and name.removeprefix(PREFIX) not in self.clauses else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if self.clauses[store_name(item.nodeid)] & set(clauses_of(item))]
        # Tests that decide few clauses run first: they catch a bug sooner than a sweep over many clauses.
        items[:] = sorted(chosen, key=lambda item: len(clauses_of(item)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        store = store_name(item.nodeid)
        if all("failed" in self.ends[store].get(clause_id, ()) for clause_id in self.clauses[store]):
            pytest.skip("the mutant is already caught")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, findings in report.user_properties:
            if name == MARKER and isinstance(findings, dict):
                for clause_id, verdict in findings["verdicts"].items():
                    crashed = verdict == "failed" and not findings["by_assertion"]
                    self.ends[store_name(report.nodeid)][clause_id].append("crashed" if crashed else verdict)

    def pytest_sessionfinish(self) -> None:
        self.verdicts.write_text(json.dumps(self.ends, indent=1))


def store_name(nodeid: str) -> str:
    """Return the name of the store that a test's id contains."""
    return nodeid.split("::")[1].removeprefix(PREFIX)
