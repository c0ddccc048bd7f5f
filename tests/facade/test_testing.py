"""`module_sdk.testing`, as authors of modules use it in their own tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import InvalidInputError
from module_sdk.facade.sessions import current_session
from module_sdk.testing import world

AUTHORS_TEST = """
import module_sdk
from module_sdk import tasks

async def work():
    await tasks.current().update_progress(0.5, {"page": 1})

def test_work(module_sdk_world):
    module_sdk_world.clock.set("2031-05-04T03:02:01+00:00")
    task_id = tasks.run_background_sync(work(), task_key="reports.q1")
    (row,) = tasks.get_tasks_by_key("reports.q1", 3)
    assert (row["user_id"], row["created_at"]) == (7, "2031-05-04T03:02:01.000000+00:00")
    view = tasks.wait(task_id, timeout_seconds=10)
    assert (view["status"], view["checkpoint"]) == ("completed", {"page": 1})

def test_the_world_of_another_test_is_gone(module_sdk_world):
    assert tasks.get_tasks_by_key_prefix("", 3) == []
    assert tasks.lookup_failures() == {}
"""

WITHOUT_PYTEST = """
import sys
sys.modules["pytest"] = None
import module_sdk.testing
with module_sdk.testing.world() as made:
    assert made.manager.count() == 0
"""


def test_tests_of_another_project_can_use_the_fixture(tmp_path: Path) -> None:
    # given a project that loads our plugin
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["module_sdk.testing"]\n')
    (tmp_path / "test_module.py").write_text(AUTHORS_TEST)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir"]
    done = subprocess.run([*command, str(tmp_path), str(tmp_path)], check=False, capture_output=True, text=True)

    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_other_test_frameworks_need_no_pytest() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_PYTEST], check=True)


def test_the_clock_does_not_advance_until_it_is_set_or_moved() -> None:
    with world() as made:
        first = made.clock()

        assert made.clock() == first
        made.clock.advance(seconds=1.5)
        assert made.clock() == first + 1_500_000
        made.clock.set("1969-12-31T23:59:59.999999+00:00")
        assert made.clock() == -1
        with pytest.raises(InvalidInputError):
            made.clock.set("yesterday")


def test_the_session_has_the_user_that_was_passed_and_ends_with_the_world() -> None:
    with world(user={"id": "ada", "organization_id": "north"}, module="crm") as made:
        assert current_session() == made.session
        task_id = tasks.run_background_sync(nothing())
        view = tasks.wait(task_id, timeout_seconds=10)
    assert (view["user_id"], view["organization_id"], view["module"]) == ("ada", "north", "crm")
    assert current_session() is None
    with pytest.raises(module_sdk.TaskBackendError, match="closed"):
        made.manager.ping()


async def nothing() -> None:
    pass
