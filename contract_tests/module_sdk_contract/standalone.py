"""The suite of `pytest --pyargs module_sdk_contract --task-manager-url=…`, for a store without a test file."""

from __future__ import annotations

import pkgutil
import tempfile
from pathlib import Path

import pytest

from module_sdk_contract.contract import TaskManagerContract
from module_sdk_contract.harness import fresh_namespace
from module_sdk_contract.markers import URL_VARIABLE
from module_sdk_contract.report.identity import scrubbed

FOLDER = "{tmp_path}"
FIRST_ANSWER_SECONDS = 10


class TestTaskManager(TaskManagerContract):
    """The suite whose URL and opener come from the options of the run."""

    def manager_url(self, tmp_path: Path) -> str:
        return self.url.replace(FOLDER, str(tmp_path))


def join(config: pytest.Config) -> None:
    """Copy the options to the suite after the store has answered, so that a wrong URL is one error for the whole run.

    Raises `pytest.UsageError` if there is no URL or the store cannot be opened; the message has no password.
    """
    url = config.getoption("task_manager_url")
    if not url:
        raise pytest.UsageError(f"--task-manager-url, or the environment variable {URL_VARIABLE}, must name the store")
    TestTaskManager.url = url
    TestTaskManager.opener = config.getoption("task_manager_opener") or TaskManagerContract.opener
    try:
        with tempfile.TemporaryDirectory() as folder:
            opener = pkgutil.resolve_name(TestTaskManager.opener)
            manager = opener(
                url.replace(FOLDER, folder), namespace=fresh_namespace(), timeout_seconds=FIRST_ANSWER_SECONDS
            )
            try:
                manager.ping()
            finally:
                manager.close()
    except Exception as error:
        message = f"the store cannot be opened: {type(error).__name__}: {error}"
        raise pytest.UsageError(scrubbed(message, url)) from None
