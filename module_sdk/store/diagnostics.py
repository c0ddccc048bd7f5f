"""What a store tells about itself: how a lookup is served, and how it is set up."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """How one lookup was served."""

    plan: str
    """The store's own words, for a person."""
    rows_examined: int
    """Index entries and records touched to answer; with every row of the answer counted once or twice."""
    fields: tuple[str, ...]
    """The stored fields that the store was asked to send."""


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `module-sdk doctor` prints."""

    facts: dict[str, str] = dataclasses.field(default_factory=dict)
    """Versions of server and driver, the schema's version, settings that decide durability."""
    warnings: list[str] = dataclasses.field(default_factory=list)
    """A sentence for each setting that weakens a promise."""
