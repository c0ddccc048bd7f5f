"""For module authors' own tests: a store in memory, a bound session, and a clock that can be set.

In a `conftest.py`: `pytest_plugins = ["module_sdk.testing"]`, then take the fixture `module_sdk_world`.
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
    """Returns microseconds since 1970 UTC. It does not move by itself."""

    def __init__(self, start: str = START) -> None:
        self.lock = threading.Lock()
        self.now = parse_time(start, "start")

    def __call__(self) -> int:
        return self.now

    def set(self, time: str) -> None:
        """Move to a time, forwards or backwards.

        Args:
            time: ISO 8601 text with a time zone.
        """
        self.now = parse_time(time, "time")

    def advance(self, seconds: float) -> None:
        """Move forwards.

        Args:
            seconds: How far.
        """
        with self.lock:
            self.now += round(seconds * 1_000_000)


@dataclasses.dataclass(frozen=True)
class World:
    """The value of the fixture: the manager behind `module_sdk.tasks`, its clock, and the session that is bound."""

    manager: TaskManager
    clock: SettableClock
    session: Session


@contextlib.contextmanager
def world(user: object = None, module: str = MODULE) -> Iterator[World]:
    """Configure a fresh store in memory and bind a session, until the block ends. For tests without pytest.

    Example:
        with module_sdk.testing.world() as made:
            made.clock.advance(seconds=60)

    Args:
        user: As for `module_sdk.session`; default: user 7 of organization 3.
        module: As for `module_sdk.session`.

    Returns:
        The `World`, as the value of `with … as`.
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


with contextlib.suppress(ImportError):  # for other test frameworks, pytest need not be installed
    import pytest

    @pytest.fixture
    def module_sdk_world() -> Iterator[World]:
        """`module_sdk.tasks` on a fresh store in memory, as user 7 of organization 3, for one test."""
        with world() as made:
            yield made
