"""The clauses of the contract, and its version, read from `clauses.toml`."""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Iterable
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
    since: str = "1.0"
    """The version of the contract that added it."""
    untested: bool = False
    """It has no test that could decide it yet."""
    provisional: bool = False
    """Not yet part of what a backend must meet: untested, or added by this very version."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contract:
    """A version of the contract."""

    version: str
    digests: dict[str, str]
    """By version: what `digest_of` gave for its clauses when it was published."""
    durable: tuple[str, ...]
    """The clauses whose tests kill and restart: level DURABLE means that they passed."""
    digest: str


FIRST_VERSION: Final = "1.0"


def read_catalogue(text: str) -> tuple[Contract, dict[str, str], dict[str, Clause]]:
    """The contract, titles by group, and clauses by id, in the order of the file."""
    tables = tomllib.loads(text)
    contract = tables.pop("contract")
    titles: dict[str, str] = {}
    clauses: dict[str, Clause] = {}
    for group, table in tables.items():
        titles[group] = table.pop("title")
        for number, entry in table.items():
            details: dict[str, Any] = entry if isinstance(entry, dict) else {"rule": entry}
            clause = Clause(id=f"{group}-{number}", group=group, **details)
            is_new = clause.since == contract["version"] != FIRST_VERSION
            clauses[clause.id] = dataclasses.replace(clause, provisional=clause.untested or is_new)
    contract["durable"] = tuple(contract["durable"])
    return Contract(**contract, digest=digest_of(clauses.values())), titles, clauses


def digest_of(clauses: Iterable[Clause]) -> str:
    """The same for the same ids with the same rules and capabilities."""
    lines = (f"{clause.id}\t{clause.rule}\t{clause.capability or ''}\n" for clause in clauses)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


CONTRACT, TITLES, CLAUSES = read_catalogue(
    resources.files("module_sdk_contract").joinpath("clauses.toml").read_text(encoding="utf-8")
)
BINDING: Final = tuple(clause for clause in CLAUSES.values() if not clause.provisional)
