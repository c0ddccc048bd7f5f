"""What the benchmarks find: timings side by side, and single figures, some of which have a bound."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from benchmarks.measure import Result


@dataclasses.dataclass(frozen=True)
class Bound:
    """What a figure must reach (docs/performance.md says where each comes from)."""

    limit: float
    kind: Literal["at most", "at least"] = "at most"

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.kind == "at most" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number, measured as often as it takes to be sure of it."""

    name: str
    value: float
    unit: str
    bound: Bound | None = None

    def to_dict(self) -> dict[str, Any]:
        stated = {"name": self.name, "value": self.value, "unit": self.unit}
        if self.bound is not None:
            stated |= {"bound": str(self.bound), "met": self.bound.is_met(self.value)}
        return stated


@dataclasses.dataclass
class Findings:
    """Of one store, or of what concerns none (`store` is `process`)."""

    store: str
    timings: list[Result] = dataclasses.field(default_factory=list)
    figures: list[Figure] = dataclasses.field(default_factory=list)
    load_seconds: dict[int, float] = dataclasses.field(default_factory=dict)
    """How long our import of the data set took, by its size."""
    versions: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "store": self.store,
            "versions": self.versions,
            "load_seconds": self.load_seconds,
            "timings": [one.to_dict() for one in self.timings],
            "figures": [one.to_dict() for one in self.figures],
        }
