"""Canaries: before a suite is judged, its own tests must notice a spoilt manager.

A green run says nothing where the tests do not look at the manager: with fixtures that lead elsewhere, comparisons that
were replaced, tests that skip. So each run spoils the author's manager on purpose (`saboteurs.py`) and demands that the
clauses which must notice do. A canary that stays silent means that the run is not judged.
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


class SilentCanary(AssertionError):  # noqa: N818  # what the canary is, not an error of the suite
    """The tests did not notice a spoilt manager."""


class Excused(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """The clause that would notice is a declared deviation, so it proves nothing."""


class NotReady(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute of a function
    """The store fails the test without a spoilt manager as well, so its failure proves nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """A test that must fail with a spoilt manager."""

    clause: str
    test: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.clause, *(str(getattr(value, "name", value)) for value in self.arguments.values())])


@dataclasses.dataclass(frozen=True, slots=True)
class Canary:
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

MEANING: Final = (
    "The run is not judged: these tests do not see what the manager answers. See that `manager_url`, `url` and "
    "`opener` lead to the manager under test, that no fixture stands in for `store` or skips, and that nothing "
    "replaces a method of the suite."
)


class Canaries:
    """Part of every suite. They run first, and `-k` does not choose among them."""

    @pytest.mark.module_sdk_canary
    @pytest.mark.parametrize(
        ("canary", "probe"),
        [pytest.param(canary, probe, id=f"{canary.name}-{probe}") for canary in CANARIES for probe in canary.probes],
    )
    def test_canary(self, store: Store, canary: Canary, probe: Probe) -> None:
        if any(deviation.clause == probe.clause and deviation.holds() for deviation in store.contract.deviations):
            raise Excused(f"{probe.clause} is a declared deviation")
        canary.saboteur().infect(store)

        try:
            getattr(self, probe.test)(store=store, **probe.arguments)
        except AssertionError:
            self.need_unspoilt(store, probe)
            return
        except pytest.skip.Exception as skipped:
            how = f"was skipped: {skipped}"
        else:
            how = "passed"

        what = " ".join(str(canary.saboteur.__doc__).split()).rstrip(".")
        raise SilentCanary(
            f"the canary {canary.name!r} is silent: {what[0].lower()}{what[1:]}, and {probe.test} ({probe.clause}) "
            f"{how}. {MEANING}"
        )

    def need_unspoilt(self, store: Store, probe: Probe) -> None:
        """End as not ready unless the store passes the test when nothing is spoilt: a skeleton fails every test."""
        store.close()
        unspoilt = Store(store.contract, store.tmp_path, store.clauses, seed=store.seed)
        try:
            unspoilt.begin()
            getattr(self, probe.test)(store=unspoilt, **probe.arguments)
        except Exception as error:
            raise NotReady(f"the store does not pass {probe.test} ({probe.clause}) yet") from error
        finally:
            unspoilt.close()


def result_of(report: pytest.TestReport, error: BaseException | None) -> CanaryResult | None:
    """What a phase of a canary's test says about it; `None` for one that says nothing."""
    if report.passed:
        return "noticed" if report.when == "call" else None
    if isinstance(error, SilentCanary):
        return "silent"
    if report.skipped:
        return "excused" if isinstance(error, Excused) else "not run"
    return "crashed"
