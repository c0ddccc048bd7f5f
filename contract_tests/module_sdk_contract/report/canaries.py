"""Canaries: before a suite is judged, its own tests must notice a sabotaged manager.

A green run proves nothing if the tests do not look at the manager: fixtures may lead to another store, comparisons may
have been replaced, tests may skip. Each run therefore sabotages the manager on purpose (`saboteurs.py`), and the tests
of the clauses that must notice it have to fail. If one does not, its canary is silent and the run is not judged.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import pytest

from module_sdk.domain.shapes import LOOKUPS
from module_sdk_contract.data.families import FAMILIES
from module_sdk_contract.harness import Store
from module_sdk_contract.report.results import CanaryResult
from module_sdk_contract.report.saboteurs import (
    DropsScope,
    FoldsCase,
    HidesFailures,
    RoundsTimes,
    Saboteur,
    SwallowsWrites,
    SwapsTies,
    TurnsTrueIntoOne,
)

CASE_FAMILY: Final = next(family for family in FAMILIES if family.name == "case")


class SilentCanary(AssertionError):  # noqa: N818  # it names the state of the canary, not an error of the suite
    """The tests did not notice a sabotaged manager."""


class Excused(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """The clause that would notice is a declared deviation, so the canary proves nothing."""


class NotReady(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """The store fails the test without sabotage as well, so the failure proves nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """A test that must fail with a sabotaged manager."""

    clause: str
    test: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.clause, *(str(getattr(value, "name", value)) for value in self.arguments.values())])


@dataclasses.dataclass(frozen=True, slots=True)
class Canary:
    """A kind of sabotage, and the tests that must notice it."""

    name: str
    saboteur: type[Saboteur]
    probes: tuple[Probe, ...]


CANARIES: Final = (
    Canary(
        "drops the scope",
        DropsScope,
        tuple(
            Probe("SCOPE-01", "test_a_lookup_stays_in_its_organization", {"operation": operation})
            for operation in LOOKUPS
        ),
    ),
    Canary("swaps ties", SwapsTies, (Probe("ORDER-03", "test_equal_times_come_by_id_descending"),)),
    Canary("rounds times", RoundsTimes, (Probe("ORDER-02", "test_one_microsecond_decides"),)),
    Canary(
        "folds case",
        FoldsCase,
        (
            Probe("KEY-01", "test_keys_are_equal_by_code_points"),
            Probe("PREFIX-03", "test_sweep_of_a_collision_family", {"family": CASE_FAMILY, "route": "imported"}),
        ),
    ),
    Canary("swallows writes", SwallowsWrites, (Probe("SEE-01", "test_a_writer_reads_its_own_writes"),)),
    Canary("turns True into 1", TurnsTrueIntoOne, (Probe("ROW-07", "test_payloads_come_back_as_themselves"),)),
    Canary(
        "hides failures",
        HidesFailures,
        (Probe("FAIL-02", "test_the_error_of_the_store_is_the_lookups", {"operation": LOOKUPS[0]}),),
    ),
)

EXPLANATION: Final = (
    "The run is not judged: these tests do not see the answers of the manager. Check that `manager_url`, `url` and "
    "`opener` lead to the manager under test, that no fixture replaces `store` or skips, and that nothing replaces a "
    "method of the suite."
)


class Canaries:
    """The canary tests, part of every suite. They run first, and `-k` does not deselect them."""

    @pytest.mark.module_sdk_canary
    @pytest.mark.parametrize(
        ("canary", "probe"),
        [pytest.param(canary, probe, id=f"{canary.name}-{probe}") for canary in CANARIES for probe in canary.probes],
    )
    def test_canary(self, store: Store, canary: Canary, probe: Probe) -> None:
        if any(deviation.clause == probe.clause and deviation.holds() for deviation in store.contract.deviations):
            raise Excused(f"{probe.clause} is a declared deviation")
        canary.saboteur().sabotage(store)

        try:
            getattr(self, probe.test)(store=store, **probe.arguments)
        except AssertionError:
            self.require_pass_unsabotaged(store, probe)
            return
        except pytest.skip.Exception as skipped:
            how = f"was skipped: {skipped}"
        else:
            how = "passed"

        bug = " ".join(str(canary.saboteur.__doc__).split()).rstrip(".")
        raise SilentCanary(
            f"the canary {canary.name!r} is silent: {bug[0].lower()}{bug[1:]}, and {probe.test} ({probe.clause}) "
            f"{how}. {EXPLANATION}"
        )

    def require_pass_unsabotaged(self, store: Store, probe: Probe) -> None:
        """Raise `NotReady` unless the store passes the test without sabotage, which an empty skeleton does not."""
        store.close()
        unchanged = Store(store.contract, store.tmp_path, store.clauses, seed=store.seed)
        try:
            unchanged.begin()
            getattr(self, probe.test)(store=unchanged, **probe.arguments)
        except Exception as error:
            raise NotReady(f"the store does not pass {probe.test} ({probe.clause}) yet") from error
        finally:
            unchanged.close()


def result_of(report: pytest.TestReport, error: BaseException | None) -> CanaryResult | None:
    """Return the result that a phase of a canary's test shows; `None` for a phase that shows none."""
    if report.passed:
        return "noticed" if report.when == "call" else None
    if isinstance(error, SilentCanary):
        return "silent"
    if report.skipped:
        return "excused" if isinstance(error, Excused) else "not run"
    return "crashed"
