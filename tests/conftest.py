"""Fixtures for every test: a clean configuration, the embedded stores, the wheel, and a log that raises."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import module_sdk
from module_sdk.runner.functions import functions
from module_sdk.store.manager import TaskManager
from module_sdk.testing import MODULE, USER, World, world
from tests.support.environments import ROOT, build
from tests.support.hostile import RaisingFormatter, RaisingHandler, leave

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start background jobs with SIGINT ignored, which the processes that tests interrupt would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def fresh_configuration() -> Iterator[None]:
    """Remove the configuration, the observers and the registered functions after each test."""
    known = dict(functions)
    yield
    module_sdk.reset()
    functions.clear()
    functions.update(known)


@pytest.fixture
def memory() -> Iterator[World]:
    """Yield the same as `module_sdk_world`, the published fixture, under a shorter name."""
    with world() as made:
        yield made


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TaskManager]:
    """Yield each embedded store in turn, with user 7 of organization 3 bound."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'tasks.db'}"
    manager = module_sdk.open_manager(url)
    module_sdk.configure(manager=manager)
    with module_sdk.session(user=USER, module=MODULE):
        yield manager
    module_sdk.reset()
    manager.close()


@pytest.fixture(scope="session")
def built_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of module-sdk, built once per run."""
    return build(ROOT, tmp_path_factory.mktemp("built"))


@pytest.fixture(params=["filter", "filter of a handler", "handler", "formatter"])
def raising_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make the host's logging raise a `BaseException` that is no `Exception`, in each of its parts that can."""
    logger = logging.getLogger("module_sdk.tasks")
    handler: logging.Handler = RaisingHandler() if request.param == "handler" else logging.StreamHandler()
    if request.param == "formatter":
        handler.setFormatter(RaisingFormatter())
    target = logger if request.param == "filter" else handler
    if request.param.startswith("filter"):
        target.addFilter(leave)
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    logger.removeFilter(leave)
