"""The reason for the deviation: a DuckDB file belongs to one process. Others get an error and do no harm."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from module_sdk_duckdb.manager import DuckDBTaskManager

from module_sdk.backends import Task

# The child must exit normally, so that Python frees all objects.
FORK = """
import os, sys
from module_sdk.backends import Task, TaskBackendUnavailableError
from module_sdk_duckdb.manager import DuckDBTaskManager

manager = DuckDBTaskManager(sys.argv[1])
manager.create(Task.new(user_id=1, module="before"))
child = os.fork()
if child == 0:
    try:
        manager.ping()
    except TaskBackendUnavailableError as error:
        sys.exit(0 if "belongs to the parent" in str(error) else 1)
    sys.exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), os.path.exists(sys.argv[2]))
manager.create(Task.new(user_id=1, module="after"))
manager.close()
"""
OPEN = """
import sys
from module_sdk.backends import TaskBackendUnavailableError
from module_sdk_duckdb.manager import DuckDBTaskManager

try:
    DuckDBTaskManager(sys.argv[1]).ping()
except TaskBackendUnavailableError:
    print("refused")
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"duckdb:///{tmp_path / 'tasks.duckdb'}"


def run(script: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forked_child_is_refused_and_does_not_change_the_parents_file(url: str, tmp_path: Path) -> None:
    log = tmp_path / "tasks.duckdb.wal"
    assert run(FORK, url, str(log)) == "0 True"

    manager = DuckDBTaskManager(url)
    assert sorted(row["module"] for row in manager.list_user_tasks(1)) == ["after", "before"]
    manager.close()


def test_another_process_is_refused(url: str) -> None:
    manager = DuckDBTaskManager(url)
    manager.create(Task.new(user_id=1, module="ours"))

    assert run(OPEN, url) == "refused"
    manager.close()
    assert run(OPEN, url) == ""


def test_managers_of_one_process_share_the_file(url: str) -> None:
    managers = [DuckDBTaskManager(url) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            tasks = [Task.new(user_id=1, module="m", task_key=f"job:{number}") for _ in range(8)]

            outcomes = list(pool.map(lambda manager, task: manager.create(task), managers * 2, tasks))

            assert sum(created for _, created in outcomes) == 1
            assert len({task.id for task, _ in outcomes}) == 1
    for manager in managers:
        assert len(manager.list_user_tasks(1)) == 20
        manager.close()
