"""From the outcome of a test to verdicts on its clauses."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from module_sdk_contract.catalogue import CLAUSES
from module_sdk_contract.marks import MARKER, clauses_of
from module_sdk_contract.verdicts import Deviation, NotApplicable, Unknown, Verdict
from module_sdk_contract.violations import ContractViolation

if TYPE_CHECKING:
    from module_sdk_contract.under_test import StoreUnderTest


def suite_of(item: pytest.Item) -> type[StoreUnderTest]:
    return cast("type[StoreUnderTest]", cast("pytest.Function", item).cls)


def prepare(items: list[pytest.Item]) -> None:
    """Give every test its time limit; refuse declarations and markers that name no clause."""
    for item in items:
        suite = suite_of(item)
        item.add_marker(pytest.mark.timeout(suite.time_limit_seconds))
        named = (*clauses_of(item), *(deviation.clause for deviation in suite.deviations))
        for clause_id in named:
            if clause_id not in CLAUSES:
                raise pytest.UsageError(f"{item.nodeid}: the contract has no clause {clause_id!r}")


def judge(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put the verdicts into the report, and turn a failure that is declared as a deviation into one."""
    if report.when != "call" and report.passed:
        return
    clauses = clauses_of(item)
    verdicts = dict.fromkeys(clauses, Verdict.PASSED)
    deviations = {deviation.clause: deviation for deviation in suite_of(item).deviations}
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, NotApplicable | Unknown):
        verdict = Verdict.NOT_APPLICABLE if isinstance(error, NotApplicable) else Verdict.UNKNOWN
        verdicts = dict.fromkeys(clauses, verdict)
        path, line, _ = item.location
        report.longrepr = (path, line or 0, f"Skipped: {verdict}: {error}")
    elif report.skipped:
        verdicts = dict.fromkeys(clauses, Verdict.UNKNOWN)
    elif report.failed:
        broken = broken_clauses(error, clauses)
        verdicts = dict.fromkeys(broken, Verdict.FAILED)
        report.sections.append(("the clauses", "\n".join(f"{name}: {CLAUSES[name].rule}" for name in broken)))
        excuse_or_explain(report, [deviations[name] for name in broken if name in deviations], verdicts)
    findings = {
        "verdicts": {name: verdict.value for name, verdict in verdicts.items()},
        "declared": sorted(deviations),
        "by_assertion": isinstance(error, AssertionError),
    }
    report.user_properties.append((MARKER, findings))


def broken_clauses(error: BaseException | None, clauses: tuple[str, ...]) -> list[str]:
    """The clauses that a failure breaks: those its violations name, else all that the test decides."""
    if isinstance(error, ContractViolation):
        return list(dict.fromkeys(violation.clause for violation in error.violations))
    return list(clauses)


def excuse_or_explain(report: pytest.TestReport, deviations: list[Deviation], verdicts: dict[str, Verdict]) -> None:
    holding = [deviation for deviation in deviations if deviation.holds()]
    for deviation in deviations:
        if not deviation.holds():
            expiry = f"the deviation of {deviation.clause} expired on {deviation.expires}: {deviation.reason}"
            report.sections.append(("expired", expiry))
    verdicts.update({deviation.clause: Verdict.DEVIATION for deviation in holding})
    if set(verdicts.values()) == {Verdict.DEVIATION}:
        report.outcome = "skipped"
        report.wasxfail = "; ".join(f"deviation {deviation.clause}: {deviation.reason}" for deviation in holding)
