"""The three lookups: through the facade, the manager alone and the reference."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any, Final

import module_sdk
from benchmarks.data import GROUP_SIZES, LOOKUPS, ORGANIZATIONS, Argument, Lookup
from benchmarks.measure import Case, Variant
from benchmarks.stores import Filled
from module_sdk import tasks

ARGUMENTS_SEED: Final = 7
# Calls per batch: some milliseconds of calls, for few rows and for many.
BATCH_SIZES: Final = {1: 30, 10: 30, 100: 15, 1_000: 4}


def lookup_cases(filled: Filled) -> list[Case]:
    rng = random.Random(ARGUMENTS_SEED)
    return [
        Case(
            labels={"lookup": lookup, "found": found, "size": filled.size},
            variants=lookup_variants(lookup, filled),
            arguments=functools.partial(draw, rng, arguments),
            batch=BATCH_SIZES[found],
        )
        for lookup in LOOKUPS
        for found in GROUP_SIZES
        if (arguments := filled.dataset.arguments(lookup, found))
    ]


def lookup_variants(lookup: Lookup, filled: Filled) -> tuple[Variant, ...]:
    return (
        Variant("facade", getattr(tasks, lookup), functools.partial(module_sdk.configure, manager=filled.manager)),
        Variant("manager", getattr(filled.manager, lookup)),
        Variant("reference", getattr(filled.reference, lookup)),
    )


def draw(rng: random.Random, arguments: Sequence[Argument], number: int) -> list[tuple[Any, ...]]:
    """Return that many arguments at random, each with an organization."""
    return [(rng.choice(arguments), rng.choice(ORGANIZATIONS)) for _ in range(number)]
