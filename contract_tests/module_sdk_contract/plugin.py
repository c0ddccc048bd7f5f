"""The pytest plugin, loaded by `-p module_sdk_contract`. It does nothing until a test of a clause is collected.

The modules that do the work are imported only then. A project without such tests loads this module and `markers`.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from module_sdk_contract.markers import (
    CANARY_MARKER,
    CANARY_MARKER_LINE,
    DEFAULT_SEED,
    DEFAULT_TIER,
    FACTS,
    MARKER,
    MARKER_LINE,
    TIER_MARKER_LINE,
    TIERS,
    URL_VARIABLE,
    clauses_of,
    is_canary,
)

if TYPE_CHECKING:
    from module_sdk_contract.report.report import Report
    from module_sdk_contract.report.results import Ledger

PACKAGE = Path(__file__).parent

pytest.register_assert_rewrite("module_sdk_contract.groups")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("module-sdk contract", "the contract suite of module-sdk backends")
    group.addoption(
        "--task-manager-url",
        default=os.environ.get(URL_VARIABLE),
        help="run the suite on this store without a test file, as `pytest --pyargs module_sdk_contract "
        "--task-manager-url=mydb://…`; {tmp_path} in it becomes a folder for each test. A URL with a password belongs "
        f"in the environment variable {URL_VARIABLE} instead",
    )
    group.addoption(
        "--task-manager-opener",
        metavar="MODULE:NAME",
        help="the function that opens managers of that URL, if no entry point does",
    )
    group.addoption(
        "--contract-tier",
        choices=TIERS,
        default=DEFAULT_TIER,
        help="quick: a sample of every group; core: every clause; deep: also the searches",
    )
    group.addoption("--contract-quick", action="store_true", help="short for --contract-tier=quick")
    group.addoption("--contract-seed", type=int, default=DEFAULT_SEED, help="seed of everything random in the tests")
    group.addoption(
        "--contract-clause",
        action="append",
        default=[],
        metavar="NAMES",
        help="run only the tests that decide these clauses or groups, such as KEY-03,PREFIX",
    )
    group.addoption("--contract-report", type=Path, metavar="FOLDER", help="write report.json, report.md, badge.json")
    group.addoption(
        "--contract-no-canaries",
        action="store_true",
        help="do not check first whether the tests notice a sabotaged manager; the level is then PARTIAL",
    )


def pytest_configure(config: pytest.Config) -> None:
    for line in (MARKER_LINE, TIER_MARKER_LINE, CANARY_MARKER_LINE):
        config.addinivalue_line("markers", line)
    check_opener(config)
    # Checked here because at collection pytest-xdist turns a worker's usage error into an internal error.
    if config.getoption("contract_clause"):
        from module_sdk_contract.report.selection import clauses_chosen  # noqa: PLC0415

        clauses_chosen(config)
    if joins(config):
        from module_sdk_contract.standalone import join  # noqa: PLC0415

        join(config)
    config.pluginmanager.register(ContractPlugin(config))


def check_opener(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` for an opener that no test would use: test classes set the attribute `opener`."""
    if config.getoption("task_manager_opener") and not joins(config):
        raise pytest.UsageError(
            f"--task-manager-opener is for `pytest --pyargs {PACKAGE.name}`; in a class of tests set `opener`"
        )


def joins(config: pytest.Config) -> bool:
    """Return whether the command line names the suite itself, to run it on a URL."""
    return bool(config.getoption("pyargs")) and any(word.partition(".")[0] == PACKAGE.name for word in config.args)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect `standalone.py` with `--pyargs`, even if the project's test files have another naming pattern."""
    if file_path != PACKAGE / "standalone.py" or not parent.config.getoption("pyargs"):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


def decides(item: pytest.Item) -> bool:
    """Return whether the item decides a clause or is a canary's test."""
    return item.get_closest_marker(MARKER) is not None or is_canary(item)


class ContractPlugin:
    """The plugin object. It collects the findings of all tests, also from pytest-xdist workers, and reports them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.ledgers: dict[str, Ledger] = {}
        self.reports: list[Report] = []
        self.folders: list[Path] = []
        self.uncollected: list[pytest.CollectReport] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.uncollected.append(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        if not any(map(decides, items)):
            yield
            return
        from module_sdk_contract.report.selection import Selection  # noqa: PLC0415

        selection = Selection(config, items)
        yield
        selection.finish(items)

    def pytest_report_collectionfinish(self, config: pytest.Config, items: list[pytest.Item]) -> list[str]:
        if not any(map(decides, items)):
            return []
        from module_sdk_contract.report.selection import tier_and_seed  # noqa: PLC0415

        tier, seed = tier_and_seed(config)
        return [f"module-sdk contract: tier {tier}, seed {seed}"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if decides(item):
            from module_sdk_contract.report.outcomes import skip_unopenable  # noqa: PLC0415

            skip_unopenable(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        if decides(item):
            from module_sdk_contract.report.outcomes import describe_store  # noqa: PLC0415

            describe_store(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Turn an error of a manager that a test did not expect into a violation of the test's clause."""
        try:
            return (yield)
        except Exception as error:
            if not pyfuncitem.get_closest_marker(MARKER):
                raise
            from module_sdk_contract.violations import blaming_the_store  # noqa: PLC0415

            violation = blaming_the_store(error, clauses_of(pyfuncitem))
            if violation is None:
                raise
            raise violation from error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if decides(item):
            from module_sdk_contract.report.outcomes import judge  # noqa: PLC0415

            judge(item, call, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, found in report.user_properties:
            if isinstance(found, dict) and name in (MARKER, CANARY_MARKER, FACTS):
                self.ledger(found).take(name, found, report.nodeid)

    def ledger(self, found: dict[str, Any]) -> Ledger:
        from module_sdk_contract.report.results import Ledger  # noqa: PLC0415

        suite = found["suite"]["id"]
        return self.ledgers.setdefault(suite, Ledger(suite))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # A pytest-xdist worker knows only its own tests; the controller receives the findings of all.
        if not self.ledgers or hasattr(session.config, "workerinput"):
            return
        from module_sdk_contract.report.report import report_of, write  # noqa: PLC0415

        self.reports = [report_of(ledger, session.config) for ledger in self.ledgers.values()]
        if any(report["needless_deviations"] for report in self.reports):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        folder = session.config.getoption("contract_report")
        if folder is not None:
            self.folders = [write(report, folder) for report in self.reports]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if terminalreporter.config.getoption("tbstyle", "auto") == "no":
            # Users switch tracebacks off because failures of the suite explain themselves. A test file that cannot be
            # imported has no such explanation, so its error is shown here.
            for uncollected in self.uncollected:
                terminalreporter.section(f"{uncollected.nodeid} cannot be collected")
                terminalreporter.write_line(uncollected.longreprtext)
        if not self.reports:
            return
        from module_sdk_contract.report.selection import clauses_chosen  # noqa: PLC0415
        from module_sdk_contract.report.summary import rendered  # noqa: PLC0415

        writer = terminalreporter.config.get_terminal_writer()
        with_failures = terminalreporter.config.getoption("tbstyle", "auto") == "no"
        chosen = frozenset(clauses_chosen(terminalreporter.config))
        for report in self.reports:
            subject = report.get("url", "") if report["joined"] else report["suite"]
            terminalreporter.section(f"contract of {subject}")
            text = rendered(
                report, width=writer.fullwidth, color=writer.hasmarkup, with_failures=with_failures, chosen=chosen
            )
            terminalreporter.write_line(text.strip("\n"))
        for folder in self.folders:
            terminalreporter.write_line(f"report: {folder / 'report.md'}")
