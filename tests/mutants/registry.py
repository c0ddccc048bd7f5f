"""Every mutant, the store that it is, where it lies, and the clause that must kill it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from module_sdk_memory.manager import MemoryTaskManager

from module_sdk.backends import TaskManager
from tests.mutants import contract_bugs, conversions, further_bugs, strangers_bugs
from tests.mutants.bases import MemoryMutant, SQLMutant
from tests.mutants.facades import PatchedFacade
from tests.mutants.importing import ImportsNoOther
from tests.mutants.mongo_stores import MongoMutant
from tests.mutants.redis_stores import RedisMutant
from tests.mutants.stores import SharedMemory
from tests.mutants.wire import OverTheWire

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

    @property
    def is_race(self) -> bool:
        """Whether the bug shows only when two calls meet."""
        return self.placed.store.__name__ in further_bugs.RACES | strangers_bugs.RACES

    @property
    def id(self) -> str:
        """A name for a test: the number, the store and the clause."""
        return f"{self.number}-{self.placed.name}-{self.clause}"


def at(store: type[TaskManager], places: Sequence[str]) -> Placed:
    return Placed(store, *(places or (place_of(store),)))


MUTANTS: Final = (
    *(
        Mutant(number, name, Placed(store, place_of(store)), clause)
        for number, name, store, clause in contract_bugs.ROWS
    ),
    *(
        Mutant(f"x{number}", name, at(store, place), clause)
        for number, (name, store, clause, *place) in enumerate(further_bugs.ROWS, further_bugs.FIRST)
    ),
    *(
        Mutant(f"s{number}", name, at(store, place), clause)
        for number, (name, store, clause, *place) in enumerate(strangers_bugs.ROWS, 1)
    ),
    *(
        Mutant(f"p{number}", name, at(store, ()), clause)
        for number, (name, store, clause) in enumerate(conversions.ROWS, 1)
    ),
)
CONTROLS: Final = (
    Placed(MemoryMutant, "memory"),
    Placed(SharedMemory, "memory"),
    Placed(PatchedFacade, "memory"),
    Placed(ImportsNoOther, "memory"),
    Placed(OverTheWire, "wire"),
    Placed(SQLMutant, "sqlite"),
    Placed(SQLMutant, "postgresql"),
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
