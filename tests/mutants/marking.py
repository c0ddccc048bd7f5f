"""The decorator that states the facts of a mutant where its class is: what is wrong, on which store, which clause."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, TypeVar

from module_sdk.backends import TaskManager

Store = TypeVar("Store", bound=type[TaskManager])


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """One seeded bug, as its decorator states it."""

    number: str
    name: str
    store: type[TaskManager]
    clause: str
    on: str | None
    race: bool


declared: Final[list[Declared]] = []
"""Every mutant whose module was imported."""


def mutant(
    number: str, name: str, *, clause: str, on: str | None = None, race: bool = False
) -> Callable[[Store], Store]:
    """Declare that the store has a bug, which a test of `clause` must catch.

    `number` is an id that never changes; its letter says where the bug came from (see `matrix.py`). `on` names the
    server where that is not the store's own. `race` means that the bug shows only when two calls meet. A class may
    carry several.
    """

    def declare(store: Store) -> Store:
        declared.append(Declared(number, name, store, clause, on, race))
        return store

    return declare
