"""The two parts of our own tests, and their fixtures where what these need is installed.

`pytest` alone runs the quick part in minutes. `pytest tests backends` runs everything, and so does every run that
names a path (CONTRIBUTING.md). `pytest --pyargs module_sdk_contract` loads this file with the extra `contract` alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from typing import Any

import pytest

pytest_plugins = ["tests.support.fixtures"] if importlib.util.find_spec("psutil") else []

QUICK, ALL = "quick", "all"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", choices=(QUICK, ALL), help="which of our tests run; default: quick, and all where a path is named"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: the test belongs to the long part")
    options = config.option
    if options.part is None:
        # pytest-xdist passes the options to its workers, but names every path to them.
        options.part = QUICK if config.args_source is pytest.Config.ArgsSource.TESTPATHS else ALL
    if options.part == QUICK and getattr(options, "contract_tier", "core") == "core":
        options.contract_quick = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.part == QUICK:
        long = [item for item in items if item.get_closest_marker("long")]
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
