"""Canaries: a suite whose tests do not look at the manager is not judged, even if all of them pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from module_sdk_contract import TaskManagerContract
from module_sdk_contract.markers import clauses_of_function, deciding_tests
from module_sdk_contract.report.canaries import CANARIES

from tests.support.contract_runs import FOLDING_OPENER, run_suite

CODE_POINTS = "code_points"


def test_the_tests_of_a_canary_decide_its_clauses() -> None:
    tests = dict(deciding_tests(TaskManagerContract))

    for canary in CANARIES:
        for probe in canary.probes:
            assert probe.clause in clauses_of_function(tests[probe.test])


def test_a_good_suite_notices_every_canary_for_any_selection(tmp_path: Path) -> None:
    status, output, report = run_suite(tmp_path, CODE_POINTS)

    assert status == 0, output
    assert {canary["result"] for canary in report["canaries"]["results"].values()} == {"noticed"}
    assert report["judged"] is True
    assert report["clauses"]["KEY-01"]["verdict"] == "passed"


UNWRITTEN = """
from module_sdk.backends import ManagerOptions
from module_sdk_memory.manager import MemoryTaskManager

class Unwritten(MemoryTaskManager):
    def store_create(self, record, deadline):
        raise NotImplementedError("store_create is not written yet")

    def store_import(self, records, deadline):
        raise NotImplementedError("store_import is not written yet")

def open_manager(url, **options):
    return Unwritten(url, ManagerOptions(**options))
"""
BLIND_HARNESS = """
    @pytest.fixture(autouse=True)
    def blind(self, monkeypatch):
        monkeypatch.setattr("module_sdk_contract.harness.compare", lambda *_: None)
"""
SKIPPING = """
    @pytest.fixture(autouse=True)
    def skips(self, monkeypatch):
        skip = lambda *_, **__: pytest.skip("not here")
        monkeypatch.setattr("module_sdk_contract.groups.order.given_at", skip)
"""


def test_a_suite_that_compares_nothing_is_not_judged(tmp_path: Path) -> None:
    status, output, report = run_suite(tmp_path, CODE_POINTS, body=BLIND_HARNESS)

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "the canary 'folds case' is silent: keys that differ in case are one key" in output
    assert "NOT JUDGED: the tests do not notice a manager that drops the scope" in output
    assert (report["level"], report["judged"]) == ("PARTIAL", False)
    assert "silent: the run is not judged" in report["gaps"]["CORE"][0]


def test_a_suite_that_skips_the_tests_that_must_notice_is_not_judged(tmp_path: Path) -> None:
    status, output, report = run_suite(tmp_path, CODE_POINTS, body=SKIPPING)

    results = {name: canary["result"] for name, canary in report["canaries"]["results"].items()}
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "(ORDER-03) was skipped: not here" in output
    assert {name for name, result in results.items() if result == "silent"} == {"swaps ties", "rounds times"}


def test_replacing_a_test_is_refused(tmp_path: Path) -> None:
    body = "    def test_keys_are_equal_by_code_points(self):\n        pass\n"

    status, output, _ = run_suite(tmp_path, CODE_POINTS, body=body)

    assert status == pytest.ExitCode.INTERRUPTED
    assert "TestIt replaces test_keys_are_equal_by_code_points" in output


def test_a_canary_whose_clause_is_a_deviation_is_excused(tmp_path: Path) -> None:
    far = "Deviation('ORDER-03', 'no ids', datetime.date(2999, 1, 1))"

    status, output, report = run_suite(tmp_path, CODE_POINTS, opener=FOLDING_OPENER, deviations=[far])

    assert status == pytest.ExitCode.TESTS_FAILED
    assert report["canaries"]["results"]["swaps ties"]["result"] == "excused"
    assert report["judged"] is True
    assert "canaries: 5 of 7 noticed; swaps ties excused; folds case not run" in output


def test_no_canary_counts_as_noticed_if_the_store_fails_without_sabotage(tmp_path: Path) -> None:
    """An empty skeleton fails every test, with and without sabotage."""
    (tmp_path / "unwritten.py").write_text(UNWRITTEN)

    _, output, report = run_suite(tmp_path, CODE_POINTS, opener="unwritten:open_manager")

    results = {name: canary["result"] for name, canary in report["canaries"]["results"].items()}
    assert set(results.values()) == {"not run"}, output
    assert "canaries: not run" in output


def test_canaries_can_be_switched_off_and_the_report_says_so(tmp_path: Path) -> None:
    status, output, report = run_suite(tmp_path, CODE_POINTS, "--contract-no-canaries")

    assert status == 0, output
    assert "canaries: switched off" in output
    assert report["canaries"]["switched_off"] is True
    assert report["level"] == "PARTIAL"


def test_canaries_are_noticed_in_the_workers_of_xdist(tmp_path: Path) -> None:
    status, output, report = run_suite(tmp_path, CODE_POINTS, "-n2")

    assert status == 0, output
    assert "canaries: 7 of 7 noticed" in output
    assert report["tests"]["run"] == report["tests"]["chosen"] == 1
