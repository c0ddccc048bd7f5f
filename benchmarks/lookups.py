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
# Some milliseconds a batch, whatever the size of the answers.
BATCHES: Final = {1: 30, 10: 30, 100: 15, 1_000: 4}


def lookup_cases(filled: Filled) -> list[Case]:
    chance = random.Random(ARGUMENTS_SEED)
    return [
        Case(
            labels={"lookup": lookup, "found": found, "size": filled.size},
            variants=lookup_variants(lookup, filled),
            arguments=functools.partial(draw, chance, arguments),
            batch=BATCHES[found],
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


def draw(chance: random.Random, arguments: Sequence[Argument], number: int) -> list[tuple[Any, ...]]:
    """That many arguments, each with an organization."""
    return [(chance.choice(arguments), chance.choice(ORGANIZATIONS)) for _ in range(number)]
