"""The reports of a store on itself: how it serves a lookup, and how it is configured."""

from __future__ import annotations

import dataclasses
from typing import Final

MAXIMUM_CLOCK_DIFFERENCE_SECONDS: Final = 1.0
"""The clocks of hosts must agree to a second, since pages show times that different hosts have recorded."""


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """How the store served one lookup."""

    plan: str
    """The query plan in the store's own format, for people."""
    rows_examined: int
    """The number of index entries and records read. Each row of the answer counts once or twice."""
    fields: tuple[str, ...]
    """The stored fields that the query requested."""


def clock_difference(server: float, before: float, after: float) -> float:
    """Return by how many seconds at least the server's clock is ahead of this host's.

    `server` was read there between `before` and `after`, all in seconds since 1970. A slow answer says little about the
    clock: within that span there may be no difference at all.
    """
    return max(server - after, 0.0) + min(server - before, 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """The facts and warnings that `module-sdk doctor` prints."""

    facts: dict[str, str] = dataclasses.field(default_factory=dict)
    """The versions of server, driver and schema, and the settings that decide durability."""
    warnings: list[str] = dataclasses.field(default_factory=list)
    """One sentence per setting that weakens a promise of the contract."""
    clock_difference_seconds: float | None = None
    """How far the server's clock is ahead of this host's. The manager adds the fact, and a warning if it is too far."""

    def with_clock(self) -> Diagnosis:
        """Return the same report with the fact and the warning about the server's clock, if there is one."""
        seconds = self.clock_difference_seconds
        if seconds is None:
            return self
        text = f"{seconds:+.3f} s"
        too_far = abs(seconds) > MAXIMUM_CLOCK_DIFFERENCE_SECONDS
        warnings = [f"the server's clock differs from this host's by {text}"] if too_far else []
        return Diagnosis({**self.facts, "clock difference": text}, [*self.warnings, *warnings])
