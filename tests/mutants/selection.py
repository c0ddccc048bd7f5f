"""A pytest plugin that runs each mutant against the clauses that must kill it only, and the controls against them all.

`python -m pytest tests/mutants/suites.py -p tests.mutants.selection --mutant-verdicts=FILE` writes, by store and
clause, how each test ended: the contract's own verdict, or `crashed` for a failure that was no assertion. A mutant is
run until it is killed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest
from module_sdk_contract.markers import MARKER, clauses_of

from tests.mutants.registry import MUTANTS, STORES, clauses_named

PREFIX: Final = "Test_"
Ends = dict[str, dict[str, list[str]]]
"""How the tests ended, by store and clause."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutants", choices=("all", "races"), default="all", help="which of them to run")
    parser.addoption("--mutant-place", action="append", default=[], help="only stores that lie there; else all")
    parser.addoption("--mutant-verdicts", type=Path, help="where to write how the tests of each mutant ended")


def pytest_configure(config: pytest.Config) -> None:
    option = config.getoption
    config.pluginmanager.register(
        Selection(option("--mutant-verdicts"), option("--mutant-place"), only_races=option("--mutants") == "races")
    )


class Selection:
    def __init__(self, verdicts: Path, places: list[str], *, only_races: bool) -> None:
        self.verdicts = verdicts
        chosen = [placed for placed in STORES if placed.place in places or not places]
        self.named = {placed.name: clauses_named(placed) for placed in chosen}
        if only_races:
            racing = {(mutant.placed.name, mutant.clause) for mutant in MUTANTS if mutant.is_race}
            self.named = {name: {c for c in named if (name, c) in racing} for name, named in self.named.items()}
        self.ends: Ends = defaultdict(lambda: defaultdict(list))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, name: str, obj: object) -> list[pytest.Item] | None:
        """Nothing where the class is the suite of a store that was not chosen; else another plugin decides."""
        is_suite = isinstance(obj, type) and name.startswith(PREFIX)
        return [] if is_suite and name.removeprefix(PREFIX) not in self.named else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if self.named[store_name(item.nodeid)] & set(clauses_of(item))]
        # Those that decide few clauses first: they kill sooner than a whole sweep does.
        items[:] = sorted(chosen, key=lambda item: len(clauses_of(item)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        store = store_name(item.nodeid)
        if all("failed" in self.ends[store].get(clause_id, ()) for clause_id in self.named[store]):
            pytest.skip("the mutant is dead already")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, findings in report.user_properties:
            if name == MARKER and isinstance(findings, dict):
                for clause_id, verdict in findings["verdicts"].items():
                    crashed = verdict == "failed" and not findings["by_assertion"]
                    self.ends[store_name(report.nodeid)][clause_id].append("crashed" if crashed else verdict)

    def pytest_sessionfinish(self) -> None:
        self.verdicts.write_text(json.dumps(self.ends, indent=1))


def store_name(nodeid: str) -> str:
    """The name of the store and its place in a test's id."""
    return nodeid.split("::")[1].removeprefix(PREFIX)
