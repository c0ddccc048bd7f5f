"""Loads the fixtures of our own tests, where what they need is installed.

`pytest --pyargs module_sdk_contract` on an editable clone passes by here too, with the extra `contract` alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from typing import Any

import pytest

pytest_plugins = ["tests.support.fixtures"] if importlib.util.find_spec("psutil") else []


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """pytest-xdist sends UTF-8 alone, and some tests log lone surrogates on purpose."""
    return encodable((yield))


def encodable(value: Any) -> Any:
    """The value with every lone surrogate of its texts escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(encodable, value))
    return value
