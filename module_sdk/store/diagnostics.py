"""The reports of a store on itself: how it serves a lookup, and how it is configured."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """How the store served one lookup."""

    plan: str
    """The query plan in the store's own format, for people."""
    rows_examined: int
    """The number of index entries and records read. Each row of the answer counts once or twice."""
    fields: tuple[str, ...]
    """The stored fields that the query requested."""


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """The facts and warnings that `module-sdk doctor` prints."""

    facts: dict[str, str] = dataclasses.field(default_factory=dict)
    """The versions of server, driver and schema, and the settings that decide durability."""
    warnings: list[str] = dataclasses.field(default_factory=list)
    """One sentence per setting that weakens a promise of the contract."""
