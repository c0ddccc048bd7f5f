"""The report of a run of the contract suite: its level and files, without secrets of the store."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from module_sdk_contract.catalogue import BINDING, CLAUSES, CONTRACT, digest_of, read_catalogue
from module_sdk_contract.report.levels import level_of
from module_sdk_contract.report.results import CanaryResult, Ledger
from module_sdk_contract.report.verdicts import Verdict

from tests.support.contract_runs import FOLDING_OPENER, pytest_run, record, report_in, run_suite

# --- The version of the contract --------------------------------------------------------------------------------------


def catalogue_text() -> str:
    return resources.files("module_sdk_contract").joinpath("clauses.toml").read_text(encoding="utf-8")


def test_a_changed_rule_needs_a_new_version_of_the_contract() -> None:
    assert CONTRACT.digest == digest_of(CLAUSES.values())
    assert CONTRACT.digests.get(CONTRACT.version) == CONTRACT.digest, (
        "ids, rules or capabilities of clauses.toml changed: give it a new version, and add its digest to `digests`"
    )


def test_a_new_clause_is_provisional_for_one_minor_version() -> None:
    text = catalogue_text() + '06 = { rule = "Events are told apart.", since = "9.1" }\n'
    contracts = [
        read_catalogue(text.replace(f'version = "{CONTRACT.version}"', f'version = "{version}"'))
        for version in ("9.1", "9.2")
    ]

    assert [clauses["EVENT-06"].provisional for _, _, clauses in contracts] == [True, False]
    assert all(contract.digest != CONTRACT.digest for contract, _, _ in contracts)


def test_a_provisional_clause_that_fails_breaks_nobodys_build(tmp_path: Path) -> None:
    body = '    @pytest.mark.module_sdk_clause("MODEL-13")\n    def test_new(self, store):\n        assert False\n'

    status, output, report = run_suite(tmp_path, "test_new", body=body)

    assert status == 0, output
    assert "MODEL-13 is provisional in this version of the contract" in output
    assert (report["clauses"]["MODEL-13"]["verdict"], report["clauses"]["MODEL-13"]["provisional"]) == ("failed", True)


# --- Levels -----------------------------------------------------------------------------------------------------------


def ledger_of(verdict: str = "passed", canary: CanaryResult = "noticed", **verdicts: str) -> Ledger:
    """Return the ledger of a whole run: every binding clause has `verdict`, except those named as in `KEY_01`."""
    ledger = Ledger("test_it.py::TestIt")
    ledger.facts = {"capabilities": ["durable"]}
    ledger.expected = 1
    by_clause = {clause.id: verdict for clause in BINDING}
    by_clause |= {name.replace("_", "-"): other for name, other in verdicts.items()}
    record(
        ledger,
        {name: each for name, each in by_clause.items() if each != "not run"},
        reason="no hook" if "unknown" in by_clause.values() else "",
        hook_missing=True,
    )
    ledger.canaries = {"folds case": {"test": canary}}
    return ledger


def skipped(ledger: Ledger) -> Ledger:
    """Return the ledger after changing the reason of its unknown clauses to skipped tests."""
    for decided in ledger.records.values():
        decided.hook_missing = False
    return ledger


def of_a_server(ledger: Ledger) -> Ledger:
    ledger.facts = {"capabilities": ["server"]}
    return ledger


def deselected(ledger: Ledger) -> Ledger:
    ledger.deselected = ["test_it"]
    return ledger


def interrupted(ledger: Ledger) -> Ledger:
    ledger.expected = 2
    return ledger


@pytest.mark.parametrize(
    ("ledger", "tier", "level", "gap"),
    [
        (ledger_of(), "deep", "DURABLE", ""),
        (ledger_of(), "core", "CORE", "the deep tier was not run"),
        (ledger_of(), "quick", "PARTIAL", "the quick tier runs a sample"),
        (ledger_of(SEE_05="not applicable"), "deep", "FULL", "SEE-05 is not applicable"),
        (ledger_of(SEE_08="not applicable"), "deep", "DURABLE", ""),
        (of_a_server(ledger_of(SEE_08="not applicable")), "deep", "FULL", "SEE-08 is not applicable"),
        (ledger_of(SEE_08="unknown"), "deep", "CORE", "SEE-08 is unknown"),
        (ledger_of(FAIL_10="unknown"), "deep", "CORE", "clauses unknown: FAIL-10"),
        (skipped(ledger_of(FAIL_10="unknown")), "deep", "PARTIAL", "because tests were skipped: FAIL-10"),
        (ledger_of(KEY_01="deviation"), "deep", "DURABLE", ""),
        (ledger_of(KEY_01="failed"), "deep", "PARTIAL", "clauses failed: KEY-01"),
        (ledger_of(KEY_01="not run"), "deep", "PARTIAL", "clauses not run: KEY-01"),
        (deselected(ledger_of()), "deep", "PARTIAL", "1 tests left out"),
        (interrupted(ledger_of()), "deep", "PARTIAL", "the run ended after 1 of 2 tests"),
        (ledger_of(canary="silent"), "deep", "PARTIAL", "the run is not judged: folds case"),
        (ledger_of(canary="not run"), "deep", "PARTIAL", "canaries not run: folds case"),
        (ledger_of(canary="excused"), "core", "CORE", "the deep tier was not run"),
    ],
)
def test_a_level_is_what_the_verdicts_prove(ledger: Ledger, tier: str, level: str, gap: str) -> None:
    reached, gaps = level_of(ledger, ["folds case"], tier)

    assert reached.value == level
    assert gap in "; ".join(text for texts in gaps.values() for text in texts)


def test_one_skipped_test_outweighs_a_missing_hook() -> None:
    ledger = skipped(ledger_of(FAIL_10="unknown"))

    assert ledger.verdict("FAIL-10") is Verdict.UNKNOWN
    assert ledger.record_of("FAIL-10").hook_missing is False


# --- Files ------------------------------------------------------------------------------------------------------------


def texts_under(folder: Path) -> Iterable[str]:
    return (path.read_text(encoding="utf-8") for path in folder.rglob("*.*") if path.is_file())


def test_the_report_names_the_store_the_versions_and_the_command_that_repeats_the_run(tmp_path: Path) -> None:
    arguments = ("--pyargs", "module_sdk_contract", "--task-manager-url=sqlite:///{tmp_path}/t.db")
    options = ("--contract-clause=key,MODEL-10", "--contract-seed=5", "--contract-report=report")

    status, output = pytest_run(tmp_path, *arguments, *options)
    report = report_in(tmp_path / "report")
    words = shlex.split(report["reproduce"])
    again = pytest_run(tmp_path, *words[1:], "--contract-report=again")

    assert (status, again[0]) == (0, 0), output + again[1]
    assert report["contract"] == {"version": CONTRACT.version, "digest": CONTRACT.digest}
    assert report["plugin"]["name"] == "module-sdk"
    assert report["plugin"]["entry point"] == "module_sdk_sql.plugin"
    assert "SQLite" in report["facts"]["server"]
    assert (report["tier"], report["seed"], report["level"]) == ("core", 5, "PARTIAL")
    assert {"durable", "shared"} <= set(report["capabilities"])
    assert set(report["clauses"]) == set(CLAUSES)
    assert report["clauses"]["KEY-01"]["seconds"] > 0
    repeated = report_in(tmp_path / "again")
    assert verdicts(repeated) == verdicts(report)
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert f"# PARTIAL: contract {CONTRACT.version} of sqlite:///{{tmp_path}}/t.db" in markdown
    assert "| KEY-03 | passed |" in markdown
    badge = (tmp_path / "report" / "badge.json").read_text(encoding="utf-8")
    assert '"message": "PARTIAL"' in badge


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {name: clause["verdict"] for name, clause in report["clauses"].items()}


def test_a_deviation_is_shown_with_its_reason_and_its_expiry(tmp_path: Path) -> None:
    declared = "Deviation('KEY-01', 'this store | folds case', datetime.date(2999, 1, 1))"

    _, output, report = run_suite(tmp_path, "code_points", opener=FOLDING_OPENER, deviations=[declared])

    assert "declared deviation: KEY-01, until 2999-01-01: this store | folds case" in output
    assert report["deviations"] == [
        {
            "clause": "KEY-01",
            "reason": "this store | folds case",
            "expires": "2999-01-01",
            "verdict": "deviation",
            "expired": False,
        }
    ]
    markdown = (tmp_path / "report" / "TestIt" / "report.md").read_text(encoding="utf-8")
    assert "| KEY-01 | this store \\| folds case | 2999-01-01 | deviation |" in markdown


def test_the_report_contains_each_failure(tmp_path: Path) -> None:
    _, _, report = run_suite(tmp_path, "code_points", opener=FOLDING_OPENER)

    (failure,) = report["clauses"]["KEY-01"]["failures"]
    assert failure.startswith("KEY-01: Keys are equal by code points")
    assert "asked:     manager.get_tasks_by_key('job', None, limit=None)" in failure


def test_the_likeliest_cause_comes_first(tmp_path: Path) -> None:
    # given a store that caches counts, so that clauses fail that count after a prune
    chosen = "sees_it or prune_obeys_organization_and_user"
    _, output, report = run_suite(tmp_path, chosen, opener="tests.mutants.rules.blame:CountCached.open")

    # then the clause that fails after the fewest calls comes before the others
    assert report["blamed"][0] == "MODEL-07"
    assert "KEEP-01" in report["blamed"]
    assert "failed: MODEL-07, KEEP-01" in output


SECRET_OPENER = """
import module_sdk

def open_manager(url, **options):
    manager = module_sdk.open_manager(url, **options)
    manager.create = lambda task: 1 / 0 if url else None
    print("opened", url)
    return manager
"""


def test_a_password_is_neither_in_the_output_nor_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "opening.py").write_text(SECRET_OPENER)
    body = "    url = 'memory://ann:tr0ub4dor%40secret@it'\n"

    status, output, report = run_suite(
        tmp_path, "code_points", "--showlocals", opener="opening:open_manager", body=body
    )

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "memory://ann:***@it" in output
    assert report["url"] == "memory://ann:***@it"
    for text in (output, *texts_under(tmp_path / "report")):
        assert "tr0ub4dor" not in text


def test_a_store_that_does_not_open_is_tried_by_the_first_tests_only(tmp_path: Path) -> None:
    body = "    url = 'postgresql://ann@127.0.0.1:1/x'\n"

    status, output, report = run_suite(tmp_path, "code_points or test_a_prefix", body=body)

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "CORE lacks: the store does not open: TaskBackendUnavailableError: " in output
    assert "3 tests could not open the store, so this one does not try" in output
    assert report["clauses"]["PREFIX-01"]["verdict"] == "not run"
