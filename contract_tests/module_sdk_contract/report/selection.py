"""The selection of a run's tests: those of its tier and of the chosen clauses, with the canaries before each suite."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from types import FunctionType
from typing import TYPE_CHECKING, Final, cast

import pytest

from module_sdk_contract.catalogue import CLAUSES, TITLES
from module_sdk_contract.markers import (
    DEFAULT_SEED,
    DEFAULT_TIER,
    MARKER,
    TIER_MARKER,
    TIERS,
    clauses_of,
    clauses_of_function,
    deciding_tests,
    is_canary,
    tier_of,
)
from module_sdk_contract.report.results import SuiteFindings

if TYPE_CHECKING:
    from module_sdk_contract.suite import StoreUnderTest

SAMPLE: Final = 4
"""The quick tier runs one of this many parameter sets of a test, and at least one."""
JOINED: Final = "module_sdk_contract.standalone"
SUITES: Final = pytest.StashKey[dict[str, SuiteFindings]]()


def tier_and_seed(config: pytest.Config) -> tuple[str, int]:
    """Return the values of the options, or the defaults if the plugin that defines the options is not loaded."""
    tier = config.getoption("contract_tier", DEFAULT_TIER)
    quick = config.getoption("contract_quick", False)
    return (TIERS[0] if quick else tier), config.getoption("contract_seed", DEFAULT_SEED)


def suite_class(item: pytest.Item) -> type[StoreUnderTest]:
    return cast("type[StoreUnderTest]", cast("pytest.Function", item).cls)


def suite_id(item: pytest.Item) -> str:
    """Return the node id of the item's class."""
    parent = item.getparent(pytest.Class)
    return item.nodeid if parent is None else parent.nodeid


def suite_findings(item: pytest.Item) -> SuiteFindings:
    return item.config.stash[SUITES][suite_id(item)]


class Selection:
    """The selection of one run: it hides the canaries from `-k` and notes what other plugins deselect."""

    def __init__(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self.config = config
        self.tier, self.seed = tier_and_seed(config)
        self.canaries = [item for item in items if is_canary(item)]
        if config.getoption("contract_no_canaries", False):
            self.canaries = []
        items[:] = [item for item in items if not is_canary(item)]
        check_markers(items)
        outside_tier = outside(contract_items(items), self.tier, self.seed)
        drop(config, items, outside_tier)
        self.outside_sample = [item for item in outside_tier if tier_of(item) != TIERS[-1]]
        """The tests of the core tier that the quick tier leaves out."""
        self.offered = contract_items(items)
        """The tests of the tier, from which other plugins may deselect."""

    def finish(self, items: list[pytest.Item]) -> None:
        """Select by clause, insert the canaries before their suites, and set the time limit of every test."""
        chosen = clauses_chosen(self.config)
        if chosen:
            others = [item for item in contract_items(items) if not chosen.intersection(clauses_of(item))]
            drop(self.config, items, others)
        # If only canaries of a suite were collected, the user asked for them by name.
        requested = {suite_id(item) for item in self.canaries} - {suite_id(item) for item in self.offered}
        for canary in reversed(self.canaries):
            suite = suite_id(canary)
            first = next((index for index, item in enumerate(items) if suite_id(item) == suite), None)
            if first is not None or suite in requested:
                items.insert(first or 0, canary)
        self.suites = self.config.stash[SUITES] = self.findings(items)
        for item in items:
            if suite_id(item) in self.suites:
                item.add_marker(pytest.mark.timeout(suite_class(item).time_limit_seconds))

    def findings(self, items: list[pytest.Item]) -> dict[str, SuiteFindings]:
        """Return, by suite, the findings that all its tests share."""
        selected = set(items)
        deselected: dict[str, set[str]] = collections.defaultdict(set)
        partly_run_clauses: dict[str, set[str]] = collections.defaultdict(set)
        for item in (*self.offered, *self.outside_sample):
            if item not in selected:
                partly_run_clauses[suite_id(item)].update(clauses_of(item))
        for item in self.offered:
            if item not in selected:
                deselected[suite_id(item)].add(item.name)
        chosen = contract_items(items)
        classes = {suite_id(item): suite_class(item) for item in (*chosen, *self.canaries) if item in selected}
        known = {(suite_id(item), getattr(item, "originalname", "")) for item in (*self.offered, *self.outside_sample)}
        for suite, contract in classes.items():
            for name, test in deciding_tests(contract):
                if (suite, name) not in known and self.runs(test):
                    deselected[suite].add(name)
                    partly_run_clauses[suite].update(clauses_of_function(test))
        tests = collections.Counter(suite_id(item) for item in chosen)
        return {
            suite: {
                "id": suite,
                "joined": contract.__module__ == JOINED,
                "deviations": [deviation.to_dict() for deviation in contract.deviations],
                "tests": tests[suite],
                "deselected": sorted(deselected[suite]),
                "partly_run_clauses": sorted(partly_run_clauses[suite]),
            }
            for suite, contract in classes.items()
        }

    def runs(self, test: FunctionType) -> bool:
        """Return whether the tier would run a test that was not collected."""
        marks = [mark.args[0] for mark in getattr(test, "pytestmark", ()) if mark.name == TIER_MARKER]
        return all(TIERS.index(tier) <= TIERS.index(self.tier) for tier in marks)


def contract_items(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    return [item for item in items if item.get_closest_marker(MARKER)]


def drop(config: pytest.Config, items: list[pytest.Item], dropped: Iterable[pytest.Item]) -> None:
    """Remove the dropped items from the list and report them as deselected."""
    removed = set(dropped)
    if removed:
        config.hook.pytest_deselected(items=[item for item in items if item in removed])
        items[:] = [item for item in items if item not in removed]


def check_markers(items: list[pytest.Item]) -> None:
    """Raise `pytest.UsageError` for a test whose marker names an unknown clause."""
    for item in contract_items(items):
        for clause_id in clauses_of(item):
            if clause_id not in CLAUSES:
                raise pytest.UsageError(f"{item.nodeid}: the contract has no clause {clause_id!r}")


def clauses_chosen(config: pytest.Config) -> set[str]:
    """Return the clauses that `--contract-clause` names by id or group. Raise `pytest.UsageError` for other names."""
    chosen: set[str] = set()
    for name in (name for text in config.getoption("contract_clause", ()) for name in text.upper().split(",")):
        found = {clause.id for clause in CLAUSES.values() if name in (clause.id, clause.group)}
        if not found:
            groups = ", ".join(TITLES)
            raise pytest.UsageError(f"--contract-clause: no clause or group is called {name!r} (groups: {groups})")
        chosen |= found
    return chosen


def outside(items: Iterable[pytest.Item], tier: str, seed: int) -> list[pytest.Item]:
    """Return the tests that the tier leaves out."""
    allowed = TIERS[: TIERS.index(tier) + 1]
    deselected = [item for item in items if tier_of(item) not in allowed]
    return deselected if tier != TIERS[0] else deselected + outside_sample(set(items) - set(deselected), seed)


def outside_sample(items: Iterable[pytest.Item], seed: int) -> list[pytest.Item]:
    """Return the parameter sets of each test that are outside the sample. The seed selects the sample."""
    by_test: dict[tuple[object, str], list[pytest.Item]] = collections.defaultdict(list)
    for item in sorted(items, key=lambda item: item.nodeid):
        by_test[item.parent, getattr(item, "originalname", item.name)].append(item)
    return [
        item
        for sets in by_test.values()
        for index, item in enumerate(sets)
        if index % min(SAMPLE, len(sets)) != seed % min(SAMPLE, len(sets))
    ]
