"""The way from the outcome of a test to verdicts on its clauses."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final, cast

import pytest

from module_sdk.errors import ModuleSDKError
from module_sdk_contract.catalogue import CLAUSES
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import CANARY_MARKER, FACTS, MARKER, clauses_of, is_canary
from module_sdk_contract.report.canaries import SilentCanary, result_of
from module_sdk_contract.report.identity import describe, masked
from module_sdk_contract.report.results import Findings
from module_sdk_contract.report.selection import suite_class, suite_findings, suite_id
from module_sdk_contract.report.verdicts import Deviation, NotApplicable, NotTried, Unknown, Verdict
from module_sdk_contract.suite import StoreUnderTest
from module_sdk_contract.violations import ContractViolation

DESCRIBED: set[str] = set()
"""The suites whose store has been described in this process."""
REFUSED: Final[dict[str, list[str]]] = {}
"""By suite: the errors with which its store did not open. They count only if it has never opened."""
MAXIMUM_REFUSALS: Final = 3
HOOKS: Final = frozenset(
    name
    for name, method in vars(StoreUnderTest).items()
    if callable(method) and not name.startswith("_") and name != "store"
)


def describe_store(item: pytest.Item) -> None:
    """Attach the facts about the store to the first test of a suite that has an open store."""
    store = funcargs(item).get("store")
    if isinstance(store, Store) and suite_id(item) not in DESCRIBED:
        DESCRIBED.add(suite_id(item))
        item.user_properties.append((FACTS, {"suite": suite_findings(item), "facts": describe(store)}))


def skip_unopenable(item: pytest.Item) -> None:
    """Raise `NotTried` if the first tests could not open the store, because each further attempt may wait long."""
    refusals = REFUSED.get(suite_id(item), [])
    if len(refusals) >= MAXIMUM_REFUSALS and suite_id(item) not in DESCRIBED:
        raise NotTried(f"{len(refusals)} tests could not open the store, so this one does not try: {refusals[-1]}")


def judge(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Add the verdicts to the report, and turn a failure that is a declared deviation into a skip."""
    error = None if call.excinfo is None else call.excinfo.value
    if call.when == "setup" and isinstance(error, ModuleSDKError):
        REFUSED.setdefault(suite_id(item), []).append(f"{type(error).__name__}: {error}")
    if is_canary(item):
        judge_canary(item, report, error)
    elif not isinstance(error, NotTried) and (report.when == "call" or not report.passed):
        report.user_properties.append((MARKER, findings_of(item, report, error)))
    mask_secrets(item, report)


def judge_canary(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> None:
    result = result_of(report, error)
    if result is None:
        return
    if isinstance(error, SilentCanary):
        report.longrepr = str(error)
    canary: Any = cast("pytest.Function", item).callspec.params["canary"]
    finding = {
        "suite": suite_findings(item),
        "canary": canary.name,
        "test": item.name,
        "result": result,
        "refusal": refusal_of(item),
        "seconds": report.duration,
    }
    report.user_properties.append((CANARY_MARKER, finding))


def refusal_of(item: pytest.Item) -> str:
    """Return the last error with which the suite's store did not open; empty if there was none."""
    return masked(item, "".join(REFUSED.get(suite_id(item), [])[-1:]))


def findings_of(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> Findings:
    clauses = clauses_of(item)
    verdicts = dict.fromkeys(clauses, Verdict.PASSED)
    reason, failures = "", {}
    if isinstance(error, NotApplicable | Unknown):
        verdict = Verdict.NOT_APPLICABLE if isinstance(error, NotApplicable) else Verdict.UNKNOWN
        verdicts, reason = dict.fromkeys(clauses, verdict), str(error)
        path, line, _ = item.location
        report.longrepr = (path, line or 0, f"Skipped: {verdict}: {error}")
    elif report.skipped:
        verdicts, reason = dict.fromkeys(clauses, Verdict.UNKNOWN), f"a test was skipped: {error}"
    elif report.failed:
        failures = failures_of(error, clauses)
        verdicts = dict.fromkeys(failures, Verdict.FAILED)
        report.sections.append(("the clauses", "\n".join(f"{name}: {CLAUSES[name].rule}" for name in failures)))
        declared = [deviation for deviation in suite_class(item).deviations if deviation.clause in failures]
        reason = excuse_or_explain(report, declared, verdicts)
    return {
        "verdicts": {name: verdict.value for name, verdict in verdicts.items()},
        "reason": masked(item, reason),
        "hook_missing": isinstance(error, Unknown),
        "failures": {name: [masked(item, text) for text in texts] for name, texts in failures.items()},
        "calls": calls_of(item),
        "by_assertion": isinstance(error, AssertionError),
        "seconds": report.duration,
        "refusal": refusal_of(item),
        "suite": suite_findings(item),
    }


def failures_of(error: BaseException | None, clauses: tuple[str, ...]) -> dict[str, list[str]]:
    """Return failures by broken clause: those named by the violations or, without any, those that the test decides."""
    if not isinstance(error, ContractViolation):
        message, hook = f"{type(error).__name__}: {error}", hook_that_raised(error)
        blamed = f"\n  the suite's hook {hook} raised {message}"
        return {name: [f"{name}: {CLAUSES[name].rule}{blamed}" if hook else message] for name in clauses}
    failures: dict[str, list[str]] = {}
    for violation in error.violations:
        failures.setdefault(violation.clause, []).append(str(violation))
    return failures


def hook_that_raised(error: BaseException | None) -> str:
    """Return the hook of the suite that raised the error, with file and line; empty if no hook did."""
    for frame, line in traceback.walk_tb(None if error is None else error.__traceback__):
        code = frame.f_code
        if code.co_name in HOOKS and isinstance(frame.f_locals.get("self"), StoreUnderTest):
            return f"{code.co_name} ({Path(code.co_filename).name}, line {line})"
    return ""


def excuse_or_explain(report: pytest.TestReport, declared: list[Deviation], verdicts: dict[str, Verdict]) -> str:
    """Excuse the failure if every broken clause is a deviation in force or provisional, and return the reason.

    Returns the empty text for a failure that counts.
    """
    in_force = [deviation for deviation in declared if deviation.holds()]
    for deviation in declared:
        if not deviation.holds():
            expiry = f"the deviation of {deviation.clause} expired on {deviation.expires}: {deviation.reason}"
            report.sections.append(("expired", expiry))
    verdicts.update({deviation.clause: Verdict.DEVIATION for deviation in in_force})
    failed = [name for name, verdict in verdicts.items() if verdict is Verdict.FAILED]
    reasons = [f"deviation {deviation.clause}: {deviation.reason}" for deviation in in_force]
    reasons += [f"{name} is provisional in this version of the contract" for name in failed]
    if not all(CLAUSES[name].provisional for name in failed):
        return ""
    report.outcome = "skipped"
    report.wasxfail = "; ".join(reasons)
    return report.wasxfail


def calls_of(item: pytest.Item) -> int:
    """Return the number of calls to the store by the test or its last case; 0 if no store was opened for it."""
    store = funcargs(item).get("store")
    return store.calls.number if isinstance(store, Store) else 0


def mask_secrets(item: pytest.Item, report: pytest.TestReport) -> None:
    """Mask the passwords of URLs in the report. Tracebacks show arguments, which may be such URLs."""
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, masked(item, reason))
    elif (shown := report.longreprtext) != (safe := masked(item, shown)):
        report.longrepr = safe
    report.sections = [(title, masked(item, text)) for title, text in report.sections]


def funcargs(item: pytest.Item) -> dict[str, Any]:
    return cast("dict[str, Any]", getattr(item, "funcargs", {}))
