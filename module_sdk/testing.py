"""Helpers for the tests of module authors: a store in memory, a bound session, and a clock that tests set.

Write `pytest_plugins = ["module_sdk.testing"]` in a `conftest.py` and use the fixture `module_sdk_world`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator

from module_sdk.domain.timestamps import parse_time
from module_sdk.facade.managers import open_manager
from module_sdk.facade.runtime import configure, reset
from module_sdk.facade.sessions import Session, session
from module_sdk.store.manager import TaskManager

__all__ = ["SettableClock", "World", "world"]

START = "2026-01-01T00:00:00+00:00"
USER = {"id": 7, "organization_id": 3}
MODULE = "tests"


class SettableClock:
    """A clock that moves only when a test sets it. Calling it returns microseconds since 1970 UTC."""

    def __init__(self, start: str = START) -> None:
        self.lock = threading.Lock()
        self.now = parse_time(start, "start")

    def __call__(self) -> int:
        return self.now

    def set(self, time: str) -> None:
        """Set the time, forwards or backwards.

        Args:
            time: ISO 8601 text with a time zone.
        """
        self.now = parse_time(time, "time")

    def advance(self, seconds: float) -> None:
        """Move the time forwards.

        Args:
            seconds: How far, in seconds.
        """
        with self.lock:
            self.now += round(seconds * 1_000_000)


@dataclasses.dataclass(frozen=True)
class World:
    """The value of the fixture: the manager behind `module_sdk.tasks`, its clock, and the bound session."""

    manager: TaskManager
    clock: SettableClock
    session: Session


@contextlib.contextmanager
def world(user: object = None, module: str = MODULE) -> Iterator[World]:
    """Return a context manager that configures a new store in memory and binds a session, for tests without pytest.

    Example:
        with module_sdk.testing.world() as world:
            world.clock.advance(seconds=60)

    Args:
        user: As for `module_sdk.session`. The default is user 7 of organization 3.
        module: As for `module_sdk.session`.

    Returns:
        A context manager whose value is the `World`. The configuration is reset when the block ends.
    """
    clock = SettableClock()
    manager = open_manager("memory://", clock=clock)
    configure(manager=manager)
    try:
        with session(user=user or USER, module=module) as bound:
            yield World(manager, clock, bound)
    finally:
        reset()
        manager.close()


with contextlib.suppress(ImportError):  # pytest is optional: other test frameworks use `world`
    import pytest

    @pytest.fixture
    def module_sdk_world() -> Iterator[World]:
        """Configure `module_sdk.tasks` with a new store in memory for one test, as user 7 of organization 3."""
        with world() as opened:
            yield opened
