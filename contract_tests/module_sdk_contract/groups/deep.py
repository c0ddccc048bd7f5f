"""The deep tier's search over random steps, in addition to the collision sweep of the core tier."""

from __future__ import annotations

from typing import Final

import pytest

from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.report.verdicts import Unknown

RUNS: Final = 200
STEPS: Final = 30
BUDGET_SECONDS: Final = 240
"""No further run begins after this time."""
SEARCHED_CLAUSES: Final = (
    "SCOPE-01", "SCOPE-02", "SCOPE-03", "SCOPE-10", "SCOPE-11", "SCOPE-12", "USER-01", "KEY-01", "PREFIX-01",
    "PREFIX-04", "ORDER-01", "ORDER-02", "ORDER-03", "ORDER-05", "ORDER-06", "ORDER-09", "ROW-01", "ROW-03", "ROW-04",
    "ROW-06", "ROW-07", "DEDUP-01", "DEDUP-02", "DEDUP-03", "DEDUP-04", "DEDUP-09", "DEDUP-11", "LIFE-01", "LIFE-02",
    "LIFE-05", "LIFE-08", "LIFE-10", "LIFE-11", "SEE-01", "MODEL-02", "MODEL-03", "MODEL-05", "MODEL-07",
    "MODEL-09", "MODEL-10", "KEEP-01", "KEEP-02",
)  # fmt: skip


class DeepClauses:
    @tier("deep")
    @pytest.mark.timeout(BUDGET_SECONDS + 60)
    @clause(*SEARCHED_CLAUSES)
    def test_no_random_steps_break_a_clause(self, store: Store) -> None:
        try:
            from module_sdk_contract.search.state_machine import search_for_violations  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise Unknown(f"the deep tier needs {error.name}") from error

        search_for_violations(store, seed_number=store.seed, runs=RUNS, steps=STEPS, budget_seconds=BUDGET_SECONDS)
