"""Every mutant: its store, the kind of that store, and the clause that must catch it."""

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

DEFAULT_KINDS: Final = {
    OverTheWire: "wire",
    MemoryTaskManager: "memory",
    SQLMutant: "sqlite",
    RedisMutant: "valkey",
    MongoMutant: "mongodb",
}
"""The kind of store that managers of a class are tested on; the first matching class decides."""


def default_kind(manager_class: type[TaskManager]) -> str:
    return next(kind for base, kind in DEFAULT_KINDS.items() if issubclass(manager_class, base))


@dataclasses.dataclass(frozen=True, slots=True)
class StoreKind:
    """A manager class on one kind of store: memory, a file or a server."""

    manager_class: type[TaskManager]
    kind: str

    @property
    def name(self) -> str:
        return f"{self.manager_class.__name__}_on_{self.kind}"

    @property
    def opener(self) -> str:
        return f"{self.manager_class.__module__}:{self.manager_class.__name__}.open"


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    """A store with one bug, and the clause that must catch it."""

    number: str
    name: str
    store: StoreKind
    clause: str
    is_race: bool
    """Whether the bug shows only when two calls overlap."""

    @property
    def id(self) -> str:
        """The id of its test: the number, the store and the clause."""
        return f"{self.number}-{self.store.name}-{self.clause}"


def sort_key(number: str) -> tuple[str, int]:
    """Return the sort key of a mutant's number: plain numbers first, then letter by letter."""
    letter, digits = re.fullmatch(r"([a-z]?)(\d+)", number).groups()  # type: ignore[union-attr]  # every number matches
    return letter, int(digits)


for found in pkgutil.iter_modules(rules.__path__, f"{rules.__name__}."):
    importlib.import_module(found.name)

MUTANTS: Final = tuple(
    Mutant(each.number, each.name, StoreKind(each.store, each.on or default_kind(each.store)), each.clause, each.race)
    for each in sorted(declared, key=lambda each: (sort_key(each.number), each.store.__name__))
)
CONTROLS: Final = (
    StoreKind(MemoryMutant, "memory"),
    StoreKind(SharedMemory, "memory"),
    StoreKind(PatchedFacade, "memory"),
    StoreKind(ImportsNoOther, "memory"),
    StoreKind(OverTheWire, "wire"),
    StoreKind(SQLMutant, "sqlite"),
    StoreKind(SQLMutant, "postgresql"),
    StoreKind(SQLMutant, "pooler"),
    StoreKind(SQLMutant, "mariadb"),
    StoreKind(RedisMutant, "valkey"),
    StoreKind(MongoMutant, "mongodb"),
)
"""The stores that the mutants are derived from, without a bug."""
STORES: Final = tuple(dict.fromkeys((*(mutant.store for mutant in MUTANTS), *CONTROLS)))


def clauses_to_test(store: StoreKind) -> set[str]:
    """Return the clauses to run on a store.

    They are the clauses that must catch it, and for a control those that must catch the mutants derived from it.
    """
    return {
        mutant.clause
        for mutant in MUTANTS
        if mutant.store == store
        or (
            store in CONTROLS
            and store.kind == mutant.store.kind
            and issubclass(mutant.store.manager_class, store.manager_class)
        )
    }
