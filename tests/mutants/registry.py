"""Every mutant, the store that it is, where it lies, and the clause that must kill it."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from typing import Final

from module_sdk_memory.manager import MemoryTaskManager

from module_sdk.backends import TaskManager
from tests.mutants import rules
from tests.mutants.marking import declared
from tests.mutants.stores.facade import PatchedFacade
from tests.mutants.stores.importing import ImportsNoOther
from tests.mutants.stores.memory import MemoryMutant, SharedMemory
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant
from tests.mutants.stores.wire import OverTheWire

PLACES: Final = {
    OverTheWire: "wire",
    MemoryTaskManager: "memory",
    SQLMutant: "sqlite",
    RedisMutant: "valkey",
    MongoMutant: "mongodb",
}
"""Where the stores of a class lie, by the first that fits."""


def place_of(store: type[TaskManager]) -> str:
    return next(place for kind, place in PLACES.items() if issubclass(store, kind))


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A store, and the kind of server or folder it lies in."""

    store: type[TaskManager]
    place: str

    @property
    def name(self) -> str:
        return f"{self.store.__name__}_on_{self.place}"

    @property
    def opener(self) -> str:
        return f"{self.store.__module__}:{self.store.__name__}.open"


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    number: str
    name: str
    placed: Placed
    clause: str
    is_race: bool
    """Whether the bug shows only when two calls meet."""

    @property
    def id(self) -> str:
        """A name for a test: the number, the store and the clause."""
        return f"{self.number}-{self.placed.name}-{self.clause}"


def in_order(number: str) -> tuple[str, int]:
    """Numbers without a letter first, then each letter's in their order."""
    letter, digits = re.fullmatch(r"([a-z]?)(\d+)", number).groups()  # type: ignore[union-attr]  # else it is no number
    return letter, int(digits)


for found in pkgutil.iter_modules(rules.__path__, f"{rules.__name__}."):
    importlib.import_module(found.name)

MUTANTS: Final = tuple(
    Mutant(each.number, each.name, Placed(each.store, each.on or place_of(each.store)), each.clause, each.race)
    for each in sorted(declared, key=lambda each: (in_order(each.number), each.store.__name__))
)
CONTROLS: Final = (
    Placed(MemoryMutant, "memory"),
    Placed(SharedMemory, "memory"),
    Placed(PatchedFacade, "memory"),
    Placed(ImportsNoOther, "memory"),
    Placed(OverTheWire, "wire"),
    Placed(SQLMutant, "sqlite"),
    Placed(SQLMutant, "postgresql"),
    Placed(SQLMutant, "pooler"),
    Placed(SQLMutant, "mariadb"),
    Placed(RedisMutant, "valkey"),
    Placed(MongoMutant, "mongodb"),
)
"""The stores that the mutants are made of, without a bug."""
STORES: Final = tuple(dict.fromkeys((*(mutant.placed for mutant in MUTANTS), *CONTROLS)))


def clauses_named(placed: Placed) -> set[str]:
    """The clauses that must kill the store; for a control, that it must pass: those of the stores made of it."""
    return {
        mutant.clause
        for mutant in MUTANTS
        if mutant.placed == placed
        or (
            placed in CONTROLS and placed.place == mutant.placed.place and issubclass(mutant.placed.store, placed.store)
        )
    }
