"""Worker processes of the contract suite are forked with their modules loaded, and otherwise like new interpreters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from module_sdk_contract.processes.workers import WorkerProcess, environment, modules_of, worker_factory

import module_sdk
from module_sdk.backends import TaskManager

OPENER = "module_sdk:open_manager"
OWNER = """
import os, signal
from module_sdk_contract.processes.workers import WorkerProcess, worker_factory

worker = WorkerProcess("module_sdk:open_manager", "memory://", "n", "SEE-03")
worker.ask("ready")
print(worker_factory().process.pid, worker.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def open_and_record(url: str, **_: object) -> TaskManager:
    """Open a manager and write the environment of the process to the file `url`."""
    Path(url).write_text(f"{Path.cwd()} {os.environ.get('A_LATE_VARIABLE')} {'module_sdk_sql.manager' in sys.modules}")
    return module_sdk.open_manager("memory://")


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[TaskManager]:
    manager = module_sdk.open_manager(f"sqlite:///{tmp_path / 'tasks.db'}", namespace="n")
    manager.setup()
    yield manager
    manager.close()


def test_a_worker_has_the_environment_and_the_folder_at_its_start(
    sqlite: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker factory that was started earlier
    with WorkerProcess(OPENER, "memory://", "n", "SEE-03") as worker:
        worker.ask("ready")
    monkeypatch.setenv("A_LATE_VARIABLE", "late")
    monkeypatch.chdir(tmp_path)

    # when a worker is started
    recorded = tmp_path / "recorded"
    with WorkerProcess(
        f"{__name__}:open_and_record", str(recorded), "n", "SEE-03", modules=modules_of(sqlite)
    ) as worker:
        worker.ask("ready")

    # then it has the present environment and folder, and the modules are loaded
    assert recorded.read_text() == f"{tmp_path} late True"


def test_workers_use_one_store_and_end_by_themselves(sqlite: TaskManager, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    with WorkerProcess(OPENER, url, "n", "SEE-03") as writer, WorkerProcess(OPENER, url, "n", "SEE-03") as reader:
        assert len({writer.id, reader.id, os.getpid(), worker_factory().process.pid}) == 4
        task_id, now = "01890000-0000-7000-8000-000000000001", 1_709_208_000_000_000
        writer.ask("create", tasks=[{"id": task_id, "created_at": now, "updated_at": now}])
        assert [row["id"] for row in reader.ask("look", operation="list_user_tasks", argument=1)] == [task_id]
    assert writer.ended
    assert reader.ended
    assert not psutil.pid_exists(writer.id)


def test_a_killed_worker_answers_nothing_and_is_gone() -> None:
    with WorkerProcess(OPENER, "memory://", "n", "SEE-03") as worker:
        worker.ask("ready")

        worker.kill()

        assert worker.read() is None
        assert not psutil.pid_exists(worker.id)


def test_an_opener_that_fails_ends_only_its_worker(capfd: pytest.CaptureFixture[str]) -> None:
    with WorkerProcess("no_such_module:open", "memory://", "n", "SEE-03") as worker:
        assert worker.read() is None
    assert "No module named 'no_such_module'" in capfd.readouterr().err
    with WorkerProcess(OPENER, "memory://", "n", "SEE-03") as worker:
        assert worker.ask("ready") is None


def test_a_worker_factory_that_has_ended_is_replaced() -> None:
    worker_factory().process.send_signal(signal.SIGKILL)
    worker_factory().process.wait()
    with WorkerProcess(OPENER, "memory://", "n", "SEE-03") as worker:
        assert worker.ask("ready") is None


def test_workers_end_with_the_process_that_started_them() -> None:
    run = subprocess.run([sys.executable, "-c", OWNER], env=environment(), capture_output=True, text=True, check=False)

    for process_id in map(int, run.stdout.split()):
        try:
            psutil.Process(process_id).wait(30)
        except psutil.NoSuchProcess:
            continue
    assert len(run.stdout.split()) == 2
