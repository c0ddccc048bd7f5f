"""The decorator of a mutant's class, which states its bug, its store and the clause that must catch it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, TypeVar

from module_sdk.backends import TaskManager

Store = TypeVar("Store", bound=type[TaskManager])


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """One seeded bug, with the arguments of its decorator."""

    number: str
    name: str
    store: type[TaskManager]
    clause: str
    on: str | None
    race: bool


declared: Final[list[Declared]] = []
"""The mutants of all modules that were imported."""


def mutant(
    number: str, name: str, *, clause: str, on: str | None = None, race: bool = False
) -> Callable[[Store], Store]:
    """Return a decorator that declares a bug of a store class, which a test of `clause` must catch.

    `number` is an id that never changes; its letter says where the bug came from (see `matrix.py`). `on` names the
    kind of store to test on, if it is not the default of the class. `race` means that the bug shows only when two
    calls overlap. A class may have several of these decorators.
    """

    def declare(store: Store) -> Store:
        declared.append(Declared(number, name, store, clause, on, race))
        return store

    return declare
