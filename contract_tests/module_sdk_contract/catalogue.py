"""The clauses of the contract, read from `clauses.toml`."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources
from typing import Any, Final


@dataclasses.dataclass(frozen=True, slots=True)
class Clause:
    """One statement that a test decides."""

    id: str
    """`SCOPE-01`; it never changes its meaning."""
    group: str
    rule: str
    capability: str | None = None
    """The clause applies to managers that declare it; `None`: to all."""
    provisional: bool = False
    """Not yet part of what a backend must meet."""


def read_catalogue() -> tuple[dict[str, str], dict[str, Clause]]:
    """Titles by group, and clauses by id, in the order of the file."""
    text = resources.files("module_sdk_contract").joinpath("clauses.toml").read_text(encoding="utf-8")
    titles: dict[str, str] = {}
    clauses: dict[str, Clause] = {}
    for group, table in tomllib.loads(text).items():
        titles[group] = table.pop("title")
        for number, entry in table.items():
            details: dict[str, Any] = entry if isinstance(entry, dict) else {"rule": entry}
            clause = Clause(id=f"{group}-{number}", group=group, **details)
            clauses[clause.id] = clause
    return titles, clauses


TITLES, CLAUSES = read_catalogue()
BINDING: Final = tuple(clause for clause in CLAUSES.values() if not clause.provisional)
