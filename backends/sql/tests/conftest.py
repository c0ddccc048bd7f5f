"""Fixtures for managers on a SQLite file, which are closed at the end of a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from module_sdk_sql.manager import SQLTaskManager

from module_sdk.backends import TaskManager

Opener = Callable[..., SQLTaskManager]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a test's database file, which does not exist yet."""
    return tmp_path / "tasks.db"


@pytest.fixture
def opener(path: Path, opened: Callable[..., TaskManager]) -> Opener:
    """A function that opens managers, on the file of the test unless a URL is passed."""

    def open_sql(url: str = f"sqlite:///{path}", **options: Any) -> SQLTaskManager:
        manager = opened(url, **options)
        assert isinstance(manager, SQLTaskManager)
        return manager

    return open_sql


@pytest.fixture
def manager(opener: Opener) -> SQLTaskManager:
    return opener()
