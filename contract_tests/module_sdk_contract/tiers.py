"""Which tests a tier runs, and the seed of what is random in them."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Final

import pytest

from module_sdk_contract.marks import DEFAULT_SEED, DEFAULT_TIER, TIERS, tier_of

SAMPLE: Final = 4
"""The quick tier runs one in so many of a test's parameter sets, and one at least."""


def tier_and_seed(config: pytest.Config) -> tuple[str, int]:
    """What the options say; the defaults where the plugin that defines them is not loaded."""
    tier = config.getoption("contract_tier", DEFAULT_TIER)
    quick = config.getoption("contract_quick", False)
    return (TIERS[0] if quick else tier), config.getoption("contract_seed", DEFAULT_SEED)


def outside(items: Iterable[pytest.Item], tier: str, seed: int) -> list[pytest.Item]:
    """The tests that the tier leaves out."""
    allowed = TIERS[: TIERS.index(tier) + 1]
    left_out = [item for item in items if tier_of(item) not in allowed]
    return left_out if tier != TIERS[0] else left_out + unsampled(set(items) - set(left_out), seed)


def unsampled(items: Iterable[pytest.Item], seed: int) -> list[pytest.Item]:
    """Of each test's parameter sets those that are not in the sample, which the seed moves."""
    by_test: dict[tuple[object, str], list[pytest.Item]] = collections.defaultdict(list)
    for item in sorted(items, key=lambda item: item.nodeid):
        by_test[item.parent, getattr(item, "originalname", item.name)].append(item)
    return [
        item
        for sets in by_test.values()
        for index, item in enumerate(sets)
        if index % min(SAMPLE, len(sets)) != seed % min(SAMPLE, len(sets))
    ]
