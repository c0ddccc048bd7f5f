"""The kill matrix: `python -m tests.mutants.matrix` runs every mutant and writes docs/contract-bites.md."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Final

from module_sdk_contract.catalogue import BINDING

from tests.mutants.registry import CONTROLS, MUTANTS, Mutant
from tests.mutants.running import ROOT, is_killed, run_mutants
from tests.mutants.selection import Ends

PAGE: Final = ROOT / "docs" / "contract-bites.md"
INTRODUCTION: Final = """\
# What the contract suite catches

Each line is a store that is right in everything but one thing, and the clause that must catch it: by a test that
carries the clause's id, with an assertion and not by a crash. Plain numbers are those of the contract's list; a letter
marks a bug that was thought of, met or tried later. `tests/mutants/rules/` has the stores, in files named by the rule
that they break. `python -m tests.mutants.matrix` runs them all and writes this page, and
`tests/contract/test_mutants.py` runs them in every check.
"""


def row(mutant: Mutant) -> str:
    """The line of a mutant, without how it ended."""
    return f"| {mutant.number} | {mutant.name} | {mutant.placed.place} | {mutant.clause} |"


def page(ends: Ends) -> Iterator[str]:
    """The lines of the page."""
    killed = [mutant for mutant in MUTANTS if is_killed(mutant, ends)]
    yield from INTRODUCTION.splitlines()
    yield ""
    yield f"{len(killed)} of {len(MUTANTS)} are caught, on {len({m.placed.place for m in MUTANTS})} kinds of store."
    yield ""
    yield "| bug | what is wrong | store | clause | caught |"
    yield "|---|---|---|---|---|"
    for mutant in MUTANTS:
        yield f"{row(mutant)} {'yes' if mutant in killed else '**no**'} |"
    yield ""
    yield "## The same stores without a bug"
    yield ""
    yield "| store | lies in | tests passed | failed |"
    yield "|---|---|---|---|"
    for control in CONTROLS:
        outcomes = collections.Counter(outcome for found in ends.get(control.name, {}).values() for outcome in found)
        failed = outcomes["failed"] + outcomes["crashed"]
        yield f"| {control.store.__name__} | {control.place} | {outcomes['passed']} | {failed} |"
    yield ""
    yield "## Bugs of each clause"
    yield ""
    yield "| clause | bugs |"
    yield "|---|---|"
    for clause in BINDING:
        numbers = [mutant.number for mutant in MUTANTS if mutant.clause == clause.id]
        yield f"| {clause.id} | {', '.join(numbers)} |"


def main() -> None:
    lines = list(page(run_mutants()))
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
