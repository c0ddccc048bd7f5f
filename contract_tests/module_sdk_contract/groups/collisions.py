"""The sweep over every collision family (SCOPE, USER, KEY, PREFIX, ORDER, DEDUP)."""

from __future__ import annotations

import pytest

from module_sdk_contract.data.collision_sweep import ALWAYS, Route, sweep
from module_sdk_contract.data.families import FAMILIES, Family
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause


class SweepClauses:
    @pytest.mark.parametrize("route", ["created", "imported"])
    @pytest.mark.parametrize(
        "family",
        [pytest.param(family, id=family.name, marks=clause(*family.clauses, *ALWAYS)) for family in FAMILIES],
    )
    def test_sweep_of_a_collision_family(self, store: Store, family: Family, route: Route) -> None:
        sweep(store, family, route)
