"""Managers on a SQLite file that are closed at the end of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from module_sdk_sql.manager import SQLTaskManager

from module_sdk import open_manager
from module_sdk.backends import Task

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database file of a test lies; it is not there yet."""
    return tmp_path / "tasks.db"


@pytest.fixture
def opener(path: Path) -> Iterator[Opener]:
    """Opens managers, on the file of the test unless a URL is given."""
    opened: list[SQLTaskManager] = []

    def open_sql(url: str = f"sqlite:///{path}", **options: Any) -> SQLTaskManager:
        manager = open_manager(url, **options)
        assert isinstance(manager, SQLTaskManager)
        opened.append(manager)
        return manager

    yield open_sql
    for manager in opened:
        manager.close()


@pytest.fixture
def manager(opener: Opener) -> SQLTaskManager:
    return opener()


@pytest.fixture
def new_task() -> TaskMaker:
    """Makes tasks; what a test does not care about has a value."""

    def make(**fields: Any) -> Task:
        return Task.new(**{"user_id": 1, "organization_id": 7, "module": "tests", **fields})

    return make
