"""The pytest plugin: it stands by until a test that decides a clause is collected."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from module_sdk_contract.marks import (
    DEFAULT_SEED,
    DEFAULT_TIER,
    MARKER,
    MARKER_LINE,
    TIER_MARKER_LINE,
    TIERS,
)

if TYPE_CHECKING:
    from module_sdk_contract.verdicts import Ledger

pytest.register_assert_rewrite("module_sdk_contract.groups")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("module-sdk contract", "the contract suite of module-sdk backends")
    group.addoption(
        "--contract-tier",
        choices=TIERS,
        default=DEFAULT_TIER,
        help="quick: a sample of every group; core: every clause; deep: also the searches",
    )
    group.addoption("--contract-quick", action="store_true", help="short for --contract-tier=quick")
    group.addoption("--contract-seed", type=int, default=DEFAULT_SEED, help="of all that is random in the tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER_LINE)
    config.addinivalue_line("markers", TIER_MARKER_LINE)
    config.pluginmanager.register(ContractPlugin())


class ContractPlugin:
    """Gathers verdicts from reports, which pytest-xdist brings from its workers, and prints them at the end.

    What does the work is imported when the first test of a contract turns up.
    """

    def __init__(self) -> None:
        self.ledgers: dict[str, Ledger] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        decisive = [item for item in items if item.get_closest_marker(MARKER)]
        if decisive:
            from module_sdk_contract.judging import prepare  # noqa: PLC0415
            from module_sdk_contract.tiers import outside, tier_and_seed  # noqa: PLC0415

            prepare(decisive)
            left_out = set(outside(decisive, *tier_and_seed(config)))
            if left_out:
                config.hook.pytest_deselected(items=[item for item in items if item in left_out])
                items[:] = [item for item in items if item not in left_out]

    def pytest_report_collectionfinish(self, config: pytest.Config, items: list[pytest.Item]) -> list[str]:
        if not any(item.get_closest_marker(MARKER) for item in items):
            return []
        from module_sdk_contract.tiers import tier_and_seed  # noqa: PLC0415

        tier, seed = tier_and_seed(config)
        return [f"module-sdk contract: tier {tier}, seed {seed}"]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if item.get_closest_marker(MARKER):
            from module_sdk_contract.judging import judge  # noqa: PLC0415

            judge(item, call, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, findings in report.user_properties:
            if name == MARKER and isinstance(findings, dict):
                from module_sdk_contract.verdicts import Ledger  # noqa: PLC0415

                suite = report.nodeid.rpartition("::test_")[0]
                self.ledgers.setdefault(suite, Ledger()).record(findings["verdicts"], findings["declared"])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if any(ledger.needless_deviations() for ledger in self.ledgers.values()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.ledgers:
            from module_sdk_contract.summary import summary_lines  # noqa: PLC0415

            for suite, ledger in self.ledgers.items():
                terminalreporter.section(f"contract of {suite}")
                for line in summary_lines(ledger):
                    terminalreporter.write_line(line)
