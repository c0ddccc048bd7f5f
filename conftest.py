"""The two parts of our own tests, and their fixtures where what these need is installed.

`pytest` alone runs the quick part in minutes. `pytest tests backends` runs everything, and so does every run that
names a path (CONTRIBUTING.md). `pytest --pyargs module_sdk_contract` loads this file with the extra `contract` alone.
"""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Generator
from typing import Any, Final

import pytest

pytest_plugins = ["tests.support.fixtures"] if importlib.util.find_spec("psutil") else []

QUICK, ALL = "quick", "all"
PROCESSES: Final = 2
"""The quick part is run by so many, unless `-n` says otherwise."""
LONG: Final = (
    # Of a backend the quick part has the contract alone, and each kind of server once.
    "backends/*/tests/test_[!c]*.py::*",
    "backends/*/tests/test_c[!o]*.py::*",
    "backends/*/tests/test_con[!t]*.py::*",
    "*::TestSQLiteMemory::*",
    "*::TestPostgreSQLBehindAPooler::*",
    "*::TestMariaDBThroughMysqlclient::*",
    "*::TestRedisOverTLS::*",
    "*::TestMongomock::*",
    # Whole runs of the contract suite in processes of their own.
    "tests/contract/test_[!flr]*.py::*",
    "tests/contract/test_re*.py::*",
    "tests/plugins/test_new_backend.py::*",
    # Servers that are killed and restarted, signals at every line, processes by the dozen.
    "tests/store/test_interrupts.py::*",
    "tests/store/test_server_settings.py::*",
    "tests/store/test_equal_answers.py::*",
    "tests/store/test_many_threads.py::*",
    "tests/outages/test_server_faults.py::*",
    "tests/facade/test_default_store.py::*",
    "tests/facade/test_mistyped_urls.py::*",
    "tests/runner/test_concurrent_submission.py::*",
    "tests/runner/test_gevent.py::*",
    "tests/runner/test_process_exit.py::*",
    "tests/runner/test_sigterm.py::*",
    "tests/runner/test_web_hosts.py::*",
    "tests/cli/test_demo.py::*",
    "tests/project/test_benchmarks.py::*",
    "tests/project/test_parts.py::*",
    "tests/project/test_replay_trace.py::*",
    "tests/project/test_servers.py::*",
    "tests/project/test_wheel.py::*",
)
"""Patterns of the tests that take long, by their ids. The quick part must pass within minutes on two cores."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", choices=(QUICK, ALL), help="which of our tests run; default: quick, and all where a path is named"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Choose the part, before pytest-xdist reads how many processes there are to be."""
    options = config.option
    if options.part is None:
        options.part = QUICK if config.args_source is pytest.Config.ArgsSource.TESTPATHS else ALL
    if options.part == QUICK:
        if getattr(options, "contract_tier", "core") == "core":
            options.contract_quick = True
        is_alone = not (options.collectonly or options.usepdb or hasattr(config, "workerinput"))
        if is_alone and getattr(options, "numprocesses", 0) is None:
            options.numprocesses = options.maxprocesses = PROCESSES
            options.dist = "loadscope"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.part == QUICK:
        long = [item for item in items if any(fnmatch.fnmatch(item.nodeid, pattern) for pattern in LONG)]
        items[:] = [item for item in items if item not in set(long)]
        config.hook.pytest_deselected(items=long)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.part == QUICK:
        terminalreporter.write_line(
            "This was the quick part: the tests that take long are left out, and of each store's contract all but the "
            "quick tier. `make test-all` runs everything (CONTRIBUTING.md says how long it takes)."
        )


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """pytest-xdist sends UTF-8 alone, and some tests log lone surrogates on purpose."""
    return encodable((yield))


def encodable(value: Any) -> Any:
    """Return the value with every lone surrogate of its texts escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(encodable, value))
    return value
