"""The table at the end of a run: verdicts by group, and by name all that is not simply passed."""

from __future__ import annotations

from collections.abc import Iterator

from module_sdk_contract.catalogue import BINDING, CLAUSES, TITLES
from module_sdk_contract.verdicts import Ledger, Verdict

COLUMNS = (
    Verdict.PASSED, Verdict.FAILED, Verdict.DEVIATION, Verdict.NOT_APPLICABLE, Verdict.UNKNOWN, Verdict.NOT_RUN,
)  # fmt: skip


def summary_lines(ledger: Ledger) -> Iterator[str]:
    """Lines for a terminal of 100 columns."""
    groups = ledger.by_group()
    yield "        " + "".join(f"{column.value:>15}" for column in COLUMNS)
    for group, counts in groups.items():
        yield f"{group:<8}" + "".join(f"{counts[column] or '.':>15}" for column in COLUMNS) + f"  {TITLES[group]}"
    totals = [sum(counts[column] for counts in groups.values()) for column in COLUMNS]
    yield f"{'':<8}" + "".join(f"{total:>15}" for total in totals) + f"  of {len(BINDING)} clauses"
    for verdict in COLUMNS[1:]:
        named = ledger.clauses(verdict)
        if named:
            yield f"{verdict.value}: {', '.join(named)}"
    provisional = len(CLAUSES) - len(BINDING)
    yield f"provisional, without a test: {provisional} clauses"
    for clause_id in ledger.needless_deviations():
        yield f"ERROR: {clause_id} passes, and is declared as a deviation: delete the declaration"
