"""The end of work whose process ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import module_sdk
from module_sdk.store.manager import TaskManager
from tests.support.processes import finish, start
from tests.support.sample_work import until_status


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TaskManager]:
    """Yield a SQLite store that this process reads and another process writes."""
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        manager = module_sdk.open_manager(f"sqlite:///{tmp_path / 'tasks.db'}")
        manager.setup()
        yield manager
        manager.close()


forms = pytest.mark.parametrize("form", ["coroutine", "function"])


@forms
def test_work_that_needs_one_more_second_completes(file: TaskManager, form: str) -> None:
    # when the process ends while the work runs
    (task_id,), errors, _ = finish(start(file, f"submit({form!r}, 1)"))

    task = file.get(task_id)
    assert task is not None
    assert (task.status, task.result) == ("completed", "done")
    assert errors == ""


@forms
def test_work_that_needs_longer_is_interrupted(file: TaskManager, form: str) -> None:
    code = f"""
    module_sdk.facade.runtime.shutdown.__defaults__ = (0.2,)
    submit({form!r}, 60)
    submit({form!r}, 60)
    """
    ids, errors, seconds = finish(start(file, code))

    assert len(ids) == 2
    for task_id in ids:
        task = file.get(task_id)
        assert task is not None
        assert (task.status, task.error) == ("interrupted", "shutdown")
    assert errors == ""
    assert seconds < 30


@pytest.mark.parametrize(
    "ending", ["sys.exit(3)", "raise ValueError('host')", "import os, signal; os.kill(0, 0); raise SystemExit"]
)
def test_every_orderly_end_of_the_host_interrupts_running_work(file: TaskManager, ending: str) -> None:
    code = f"""
    module_sdk.facade.runtime.shutdown.__defaults__ = (0.1,)
    submit("coroutine", 60)
    {ending}
    """
    (task_id,), _, _ = finish(start(file, code))

    task = file.get(task_id)
    assert task is not None
    assert task.status == "interrupted"


def test_ctrl_c_interrupts_running_work(file: TaskManager) -> None:
    # given a process that runs work on its own loop
    code = """
    module_sdk.facade.runtime.shutdown.__defaults__ = (0.1,)

    async def main():
        print(await tasks.run_background(coroutine(60)), flush=True)
        await asyncio.sleep(60)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    """
    process = start(file, code)
    assert process.stdout is not None
    task_id = process.stdout.readline().strip()
    until_status(file, task_id, "running", seconds=30)

    process.send_signal(signal.SIGINT)
    _, errors, _ = finish(process)

    task = file.get(task_id)
    assert task is not None
    assert (task.status, task.error) == ("interrupted", "shutdown")
    assert errors == ""
    assert process.returncode == 0


def test_a_result_that_does_not_fit_on_the_disk_fails_the_task_and_frees_its_key(file: TaskManager) -> None:
    # given a process that may not write large files
    code = """
    import resource, signal

    @tasks.register("large")
    def large():
        return "x" * 900_000

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    task_id = tasks.run_background_sync("large", task_key="k")
    tasks.wait(task_id, timeout_seconds=30)
    print(task_id, tasks.run_background_sync(coroutine(0), task_key="k"))
    """
    ids, errors, _ = finish(start(file, code))

    failed, after = (file.get(task_id) for task_id in ids)
    assert failed is not None
    assert after is not None
    assert (failed.status, failed.result) == ("failed", None)
    assert str(failed.error).startswith("TaskBackendError: ")
    assert (after.status, after.result) == ("completed", "done")
    assert errors.startswith(f"the store refused the result of task {failed.id}: ")
    assert "Traceback" not in errors


def test_pending_work_is_also_interrupted(file: TaskManager) -> None:
    code = """
    module_sdk.configure(url=sys.argv[1], max_running_tasks=1)
    module_sdk.facade.runtime.shutdown.__defaults__ = (0.1,)
    submit("function", 60)
    submit("function", 60)
    """
    ids, errors, _ = finish(start(file, code))

    tasks = [file.get(task_id) for task_id in ids]
    assert [task.status for task in tasks if task] == ["interrupted", "interrupted"]
    assert errors == ""


def test_a_process_that_only_made_a_lookup_ends_at_once(file: TaskManager) -> None:
    _, errors, seconds = finish(start(file, "assert tasks.list_user_tasks(7, 3).error is None"))
    assert errors == ""
    assert seconds < 20


def test_an_acknowledged_task_survives_sigkill_and_stays_active(file: TaskManager) -> None:
    # given a process that is killed in the middle of its work
    process = start(file, "submit('coroutine', 60)\ntime.sleep(60)")
    assert process.stdout is not None
    task_id = process.stdout.readline().strip()
    until_status(file, task_id, "running", seconds=30)

    process.kill()
    finish(process)

    # then the task is recorded as running, and keeps its key, until it is cancelled
    task = file.get(task_id)
    assert task is not None
    assert task.status == "running"
    module_sdk.configure(manager=file)
    assert module_sdk.tasks.cancel(task_id)
