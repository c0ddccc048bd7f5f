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

Each line is a store with one bug, and the clause that must catch it. A bug is caught if a test that carries the
clause's id fails by an assertion; a crash does not count. Plain numbers are those of the contract's list of bugs. A
letter marks a bug that was invented, met or tried later. The stores are in `tests/mutants/rules/`, in files named
after the rule that they break. `python -m tests.mutants.matrix` runs all of them and writes this page;
`tests/contract/test_mutants.py` runs them in every check.
"""


def row(mutant: Mutant) -> str:
    """Return the line of a mutant, up to its last column, which says whether it was caught."""
    return f"| {mutant.number} | {mutant.name} | {mutant.store.kind} | {mutant.clause} |"


def page(ends: Ends) -> Iterator[str]:
    """Yield the lines of the page."""
    killed = [mutant for mutant in MUTANTS if is_killed(mutant, ends)]
    yield from INTRODUCTION.splitlines()
    yield ""
    yield f"{len(killed)} of {len(MUTANTS)} are caught, on {len({m.store.kind for m in MUTANTS})} kinds of store."
    yield ""
    yield "| bug | what is wrong | store | clause | caught |"
    yield "|---|---|---|---|---|"
    for mutant in MUTANTS:
        yield f"{row(mutant)} {'yes' if mutant in killed else '**no**'} |"
    yield ""
    yield "## The same stores without a bug"
    yield ""
    yield "| store | kind | tests passed | failed |"
    yield "|---|---|---|---|"
    for control in CONTROLS:
        outcomes = collections.Counter(outcome for found in ends.get(control.name, {}).values() for outcome in found)
        failed = outcomes["failed"] + outcomes["crashed"]
        yield f"| {control.manager_class.__name__} | {control.kind} | {outcomes['passed']} | {failed} |"
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
