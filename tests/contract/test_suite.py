"""The contract suite itself: its catalogue, its comparison, its verdicts, and their display in pytest."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from module_sdk_contract import Deviation, TaskManagerContract
from module_sdk_contract.catalogue import BINDING, CLAUSES
from module_sdk_contract.data.comparison import difference
from module_sdk_contract.data.reference import Reference, canonical
from module_sdk_contract.markers import TIER_MARKER, clauses_of_function, deciding_tests
from module_sdk_contract.report.results import Ledger
from module_sdk_contract.report.verdicts import Verdict

from tests.support.contract_runs import FOLDING_OPENER, pytest_run, record, run_suite, write_suite


def test_every_binding_clause_has_a_test() -> None:
    decided = {clause_id for _, test in deciding_tests(TaskManagerContract) for clause_id in clauses_of_function(test)}

    assert {clause.id for clause in BINDING} <= decided <= set(CLAUSES)
    assert {CLAUSES[clause_id].group for clause_id in set(CLAUSES) - decided} == {"MODEL", "LEASE", "EVENT"}


def test_no_two_groups_share_the_name_of_a_test() -> None:
    names = Counter(name for name, _ in deciding_tests(TaskManagerContract))

    assert [name for name, count in names.items() if count > 1] == []


def test_the_clauses_of_one_test_need_the_same_capability() -> None:
    for name, test in deciding_tests(TaskManagerContract):
        assert len({CLAUSES[clause_id].capability for clause_id in clauses_of_function(test)}) == 1, name


def test_the_quick_tier_covers_every_group() -> None:
    sampled = {
        CLAUSES[clause_id].group
        for _, test in deciding_tests(TaskManagerContract)
        if TIER_MARKER not in {mark.name for mark in getattr(test, "pytestmark", ())}
        for clause_id in clauses_of_function(test)
    }

    assert sampled == {clause.group for clause in BINDING}


def test_the_catalogue_has_every_clause_of_each_group() -> None:
    sizes = Counter(clause.group for clause in CLAUSES.values())

    assert sizes == {
        "DISC": 10, "SCOPE": 14, "USER": 6, "KEY": 7, "PREFIX": 11, "ORDER": 12, "ROW": 10, "DEDUP": 11, "LIFE": 11,
        "SEE": 10, "FAIL": 16, "BAD": 3, "MODEL": 13, "KEEP": 5, "LEASE": 5, "EVENT": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (True, 1),
        (1, 1.0),
        (0.0, -0.0),
        ("1", 1),
        (None, False),
        ([], ()),
        ([1], [True]),
        ({"a": [1, {"b": 0}]}, {"a": [1, {"b": False}]}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({}, {"a": 1}),
        ([1], [1, 2]),
        ("é", "e\u0301"),
    ],
)
def test_comparison_is_strict(expected: Any, actual: Any) -> None:
    assert difference(expected, actual) is not None
    assert difference(actual, expected) is not None
    assert difference(expected, expected) is None


def test_comparison_names_the_location_of_the_difference() -> None:
    assert difference({"a": [1, 2.0]}, {"a": [1, 2]}) == "at ['a'][1]: expected 2.0 (float), found 2 (int)"


def test_a_clause_has_the_heaviest_verdict_of_its_tests() -> None:
    ledger = Ledger("test_it.py::TestIt")
    for verdict in ("passed", "not applicable", "passed"):
        record(ledger, {"KEY-01": verdict, "KEY-02": verdict})
    record(ledger, {"KEY-01": "unknown", "KEY-03": "not applicable"})

    assert ledger.verdict("KEY-01") is Verdict.UNKNOWN
    assert ledger.verdict("KEY-02") is Verdict.PASSED
    assert ledger.verdict("KEY-03") is Verdict.NOT_APPLICABLE
    assert ledger.verdict("KEY-04") is Verdict.NOT_RUN
    assert sum(len(ledger.clauses(verdict)) for verdict in Verdict) == len(BINDING)


def test_a_deviation_holds_until_it_expires() -> None:
    today = datetime.datetime.now(datetime.UTC).date()

    assert Deviation("KEY-01", "reason", today).holds()
    assert not Deviation("KEY-01", "reason", today - datetime.timedelta(days=1)).holds()


def test_the_reference_canonicalizes_ids_and_the_empty_key() -> None:
    assert [canonical(text) for text in ("7", 7, "-7", "0", "007", "7 ", "+7", "-0", "1_0", "٧", "7.0")] == [
        7, 7, -7, 0, "007", "7 ", "+7", "-0", "1_0", "٧", "7.0",
    ]  # fmt: skip
    reference = Reference()
    reference.create({"id": "a", "created_at": 0, "updated_at": 0, "user_id": "7", "task_key": ""})
    assert reference.lookup("list_user_tasks", 7)[0]["task_key"] is None
    assert reference.lookup("get_tasks_by_key_prefix", "") == []


# --- Output of pytest -------------------------------------------------------------------------------------------------


def deviation(days: int, clause: str = "KEY-01") -> str:
    expires = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=days)
    return f"Deviation('{clause}', 'this store folds case', datetime.date.fromisoformat('{expires}'))"


def test_a_failure_shows_the_rule_the_call_and_both_answers(tmp_path: Path) -> None:
    status, output, _ = run_suite(tmp_path, "code_points", opener=FOLDING_OPENER)

    assert status == 1
    assert "KEY-01: Keys are equal by code points" in output
    assert "asked:     manager.get_tasks_by_key('job', None, limit=None)" in output
    assert "reference: [{" in output
    assert "store:     [{" in output
    assert "failed: KEY-01" in output


def test_a_declared_deviation_is_not_a_failure(tmp_path: Path) -> None:
    status, output, _ = run_suite(tmp_path, "code_points", opener=FOLDING_OPENER, deviations=[deviation(days=1)])

    assert status == 0
    assert "deviation: KEY-01" in output
    assert "this store folds case" in output


def test_an_expired_deviation_is_a_failure(tmp_path: Path) -> None:
    status, output, _ = run_suite(tmp_path, "code_points", opener=FOLDING_OPENER, deviations=[deviation(days=-1)])

    assert status == 1
    assert "the deviation of KEY-01 expired" in output
    assert "ERROR: KEY-01 fails, and its deviation expired on" in output


def test_a_deviation_from_a_clause_that_does_not_apply_is_shown_as_without_effect(tmp_path: Path) -> None:
    status, output, _ = run_suite(tmp_path, "second_manager", deviations=[deviation(days=1, clause="SEE-02")])

    assert status == 0
    assert "without effect here: not applicable" in output


def test_a_deviation_whose_clause_passes_is_an_error(tmp_path: Path) -> None:
    status, output, _ = run_suite(
        tmp_path, "", "--contract-clause=ROW-01", deviations=[deviation(days=1, clause="ROW-01")]
    )

    assert status == 1
    assert "ERROR: ROW-01 passes, and is declared as a deviation" in output


def test_a_deviation_is_no_error_if_only_some_tests_of_its_clause_ran(tmp_path: Path) -> None:
    status, output, report = run_suite(tmp_path, "code_points", deviations=[deviation(days=1)])

    assert status == 0, output
    assert report["clauses"]["KEY-01"]["verdict"] == "passed"


def test_a_clause_that_does_not_apply_has_not_passed(tmp_path: Path) -> None:
    status, output, _ = run_suite(tmp_path, "second_manager or unreadable_record")

    assert status == 0
    assert "not applicable: SEE-02" in output
    assert "unknown: FAIL-10" in output
    assert "not run: DISC-01" in output


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("Deviation('KEY-01', '', datetime.date(2999, 1, 1)),", "the deviation of KEY-01 needs a reason"),
        ("Deviation('KEY-01', 'x', '2999-01-01'),", "needs a datetime.date for `expires`, not '2999-01-01'"),
        ("'KEY-01',", "deviations must be a list or tuple of Deviation"),
    ],
)
def test_an_invalid_deviation_is_refused(tmp_path: Path, declared: str, message: str) -> None:
    status, output, _ = run_suite(tmp_path, "code_points", body=f"    deviations = ({declared})\n")

    assert status == pytest.ExitCode.INTERRUPTED
    assert message in output


def test_an_unknown_clause_is_refused(tmp_path: Path) -> None:
    status, output, _ = run_suite(
        tmp_path, "code_points", deviations=["Deviation('KEY-99', 'x', datetime.date(2999, 1, 1))"]
    )

    assert status == pytest.ExitCode.INTERRUPTED
    assert "the contract has no clause 'KEY-99'" in output


def test_a_project_without_the_plugin_loads_nothing_of_the_suite(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_nothing_is_loaded():\n"
        "    assert not [name for name in sys.modules if name.startswith('module_sdk')]\n"
    )

    status, output = pytest_run(tmp_path, loaded=())
    _, options = pytest_run(tmp_path, "--help", loaded=())

    assert status == 0, output
    assert "--contract-" not in options


def test_a_suite_without_the_plugin_is_an_error_that_says_how_to_load_it(tmp_path: Path) -> None:
    write_suite(tmp_path)

    status, output = pytest_run(tmp_path, loaded=())

    assert status == pytest.ExitCode.INTERRUPTED
    assert "run pytest with -p module_sdk_contract" in output
    assert "Traceback" not in output


def test_an_import_error_of_a_test_file_is_shown_even_without_tracebacks(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("from module_sdk_contract import TaskManagerContrakt\n")

    status, output = pytest_run(tmp_path, "--tb=no")

    assert status == pytest.ExitCode.INTERRUPTED
    assert "has no attribute 'TaskManagerContrakt'" in output or "cannot import name" in output


def test_the_opener_option_is_refused_for_test_files(tmp_path: Path) -> None:
    write_suite(tmp_path)

    status, output = pytest_run(tmp_path, "--task-manager-opener=mine:open_manager")

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "in a class of tests set `opener`" in output


def test_the_plugin_loads_only_its_markers_until_a_test_decides_a_clause(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_nothing_is_loaded():\n"
        "    assert 'module_sdk_contract.plugin' in sys.modules\n"
        "    loaded = {name for name in sys.modules if name.startswith('module_sdk')}\n"
        "    assert loaded == {'module_sdk_contract', 'module_sdk_contract.plugin', 'module_sdk_contract.markers'}\n"
    )

    status, output = pytest_run(tmp_path)

    assert status == 0, output
    assert "contract" not in output.partition("test session starts")[2].partition("\n\n")[2]
