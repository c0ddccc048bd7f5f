"""The markers of a test, and the options of a run that choose among tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final, cast

import pytest

MARKER: Final = "module_sdk_clause"
MARKER_LINE: Final = f"{MARKER}(*ids): the clauses of the module-sdk contract that the test decides"

CANARY_MARKER: Final = "module_sdk_canary"
CANARY_MARKER_LINE: Final = f"{CANARY_MARKER}: the test proves that the other tests of its suite look at the manager"
FACTS: Final = "module_sdk_store"
"""The property of a test report that contains the facts about the suite's store."""
URL_VARIABLE: Final = "MODULE_SDK_CONTRACT_URL"
TIER_MARKER: Final = "contract_tier"
TIER_MARKER_LINE: Final = f"{TIER_MARKER}(name): the lowest tier of the module-sdk contract that runs the test"
TIERS: Final = ("quick", "core", "deep")
"""Each tier runs all tests of the one before it, and more."""
DEFAULT_TIER: Final = "core"
DEFAULT_SEED: Final = 0

PLUGIN: Final = "module_sdk_contract.plugin"
IMPORTER_OF_PYTEST: Final = "_pytest.pathlib"


def clause(*ids: str) -> pytest.MarkDecorator:
    """Return the marker of a test that decides these clauses, as `@clause("SCOPE-01")`.

    All clauses of one test must need the same capability.
    """
    return pytest.mark.module_sdk_clause(*ids)


def tier(name: str) -> pytest.MarkDecorator:
    """Return the marker of the lowest tier that runs a test.

    `@tier("deep")` limits the test to the deep tier; `@tier("core")` keeps a slow test out of the quick tier.
    Raises `ValueError` for an unknown name.
    """
    if name not in TIERS:
        raise ValueError(f"tier must be one of {', '.join(TIERS)}, not {name!r}")
    return pytest.mark.contract_tier(name)


def clauses_of_function(function: FunctionType) -> set[str]:
    """Return the ids of the clauses that a test function decides, in any of its parameter sets."""
    marks: list[pytest.Mark] = list(getattr(function, "pytestmark", ()))
    for mark in tuple(marks):
        if mark.name == "parametrize":
            marks += [inner for values in mark.args[1] for inner in getattr(values, "marks", ())]
    return {clause_id for mark in marks if mark.name == MARKER for clause_id in mark.args}


def deciding_tests(suite: type) -> Iterator[tuple[str, FunctionType]]:
    """Yield name and function of every test that a class defines or inherits.

    A name comes twice if two classes of the hierarchy define it.
    """
    for base in suite.__mro__:
        for name, value in vars(base).items():
            if name.startswith("test_") and isinstance(value, FunctionType) and clauses_of_function(value):
                yield name, value


def clauses_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the ids of the clauses that a test decides, in order; for a canary's test, the clause that must fail."""
    if is_canary(item):
        probe: Any = cast("pytest.Function", item).callspec.params["probe"]
        return (str(probe.clause),)
    return tuple(dict.fromkeys(clause_id for mark in item.iter_markers(MARKER) for clause_id in mark.args))


def tier_of(item: pytest.Item) -> str:
    """Return the lowest tier that runs a test. A test without a marker may be in the sample of the quick tier."""
    mark = item.get_closest_marker(TIER_MARKER)
    return TIERS[0] if mark is None else str(mark.args[0])


def is_canary(item: pytest.Item) -> bool:
    return item.get_closest_marker(CANARY_MARKER) is not None


def require_plugin() -> None:
    """Raise a collection error if pytest imports a test file without having loaded the plugin of the contract."""
    frame = sys._getframe()
    while PLUGIN not in sys.modules and frame is not None and frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == IMPORTER_OF_PYTEST:
            raise pytest.Collector.CollectError(
                "the contract suite needs its pytest plugin: run pytest with -p module_sdk_contract, "
                "or put that into addopts of the project's pytest settings"
            )


# This must run before the tests of the contract are imported: they use the markers that the plugin registers.
require_plugin()
