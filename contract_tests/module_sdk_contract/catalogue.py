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
    """Such as `SCOPE-01`. The meaning of an id never changes."""
    group: str
    rule: str
    capability: str | None = None
    """The clause applies to managers that declare it; `None` means all managers."""
    since: str = "1.0"
    """The version of the contract that added it."""
    untested: bool = False
    """No test decides it yet."""
    provisional: bool = False
    """A backend need not meet it yet: it is untested, or this version of the contract added it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contract:
    """A version of the contract."""

    version: str
    digests: dict[str, str]
    """By version: the result of `digest_of` for its clauses when it was published."""
    durable: tuple[str, ...]
    """The clauses whose tests kill and restart: level DURABLE means that they passed."""
    digest: str


FIRST_VERSION: Final = "1.0"


def read_catalogue(text: str) -> tuple[Contract, dict[str, str], dict[str, Clause]]:
    """Return the contract, titles by group, and clauses by id, in the order of the file."""
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
    """Return a digest that depends only on the ids, rules and capabilities of the clauses, in their order."""
    lines = (f"{clause.id}\t{clause.rule}\t{clause.capability or ''}\n" for clause in clauses)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


CONTRACT, TITLES, CLAUSES = read_catalogue(
    resources.files("module_sdk_contract").joinpath("clauses.toml").read_text(encoding="utf-8")
)
BINDING: Final = tuple(clause for clause in CLAUSES.values() if not clause.provisional)
