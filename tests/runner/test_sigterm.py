"""The end of work whose process gets SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import module_sdk
from module_sdk.domain.task import Task
from module_sdk.store.manager import TaskManager
from tests.support.processes import finish, start
from tests.support.sample_work import get, until_status

WAIT = "print('ready', flush=True)\ntime.sleep(60)"
SHORT = "module_sdk.facade.runtime.shutdown.__defaults__ = (0.1,)\n"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TaskManager]:
    """Yield a store that other processes of the test write to: a file, then a server."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'tasks.db'}"
    else:
        url = request.getfixturevalue("postgresql_url")
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        manager = module_sdk.open_manager(url, namespace="sigterm")
        manager.setup()
        yield manager
        manager.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TaskManager]:
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        manager = module_sdk.open_manager(f"sqlite:///{tmp_path / 'tasks.db'}", namespace="sigterm")
        manager.setup()
        yield manager
        manager.close()


def begin(manager: TaskManager, code: str) -> tuple[subprocess.Popen[str], list[str]]:
    """Start a process, wait until it prints `ready`, and return it with the ids that it printed before."""
    process = start(manager, "module_sdk.configure(url=sys.argv[1], namespace='sigterm')\n" + code)
    ids: list[str] = []
    assert process.stdout is not None
    while (line := process.stdout.readline().strip()) != "ready":
        assert line, finish(process)[1]
        ids.append(line)
    return process, ids


def terminate(process: subprocess.Popen[str]) -> str:
    """Send SIGTERM, assert that the process dies of the signal, and return its stderr."""
    process.send_signal(signal.SIGTERM)
    _, errors, _ = finish(process)
    assert process.returncode == -signal.SIGTERM, errors
    return errors


def ended(manager: TaskManager, ids: list[str]) -> list[tuple[str, str | None]]:
    tasks: list[Task] = [get(manager, task_id) for task_id in ids]
    return [(task.status, task.error) for task in tasks]


INTERRUPTED = ("interrupted", "shutdown")


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_a_script_interrupts_its_work_and_dies_of_the_signal(store: TaskManager, form: str) -> None:
    process, ids = begin(store, SHORT + f"submit({form!r}, 60)\n" + WAIT)

    errors = terminate(process)

    assert ended(store, ids) == [INTERRUPTED]
    assert errors == ""


def test_work_that_needs_one_more_second_completes(file: TaskManager) -> None:
    process, ids = begin(file, "submit('function', 1)\nsubmit('coroutine', 1)\n" + WAIT)
    terminate(process)
    assert ended(file, ids) == [("completed", None)] * 2


def test_work_on_the_loop_of_the_main_thread_can_complete(file: TaskManager) -> None:
    # given work on a loop that the main thread runs
    code = """
async def main():
    async with module_sdk.lifespan():
        print(await tasks.run_background(coroutine(1)), flush=True)
        while not begun.is_set():
            await asyncio.sleep(0.01)
        print('ready', flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    process, ids = begin(file, code)

    terminate(process)
    assert ended(file, ids) == [("completed", None)]


def test_a_main_thread_in_the_middle_of_submitting_leaves_no_task_active(store: TaskManager) -> None:
    # given a main thread that submits without a pause, so that the signal arrives during a write
    code = (
        SHORT
        + "submit('function', 60)\nprint('ready', flush=True)\n"
        + "while True: tasks.run_background_sync('function', seconds=60)"
    )
    process, _ = begin(store, code)
    for _ in range(1_000):
        if store.count() > 20:
            break
        time.sleep(0.01)

    terminate(process)
    assert store.count(filters={"status": ["pending", "running", "waiting_confirmation"]}) == 0


def test_a_second_signal_changes_nothing(file: TaskManager) -> None:
    process, ids = begin(file, "submit('function', 1)\nsubmit('coroutine', 1)\n" + WAIT)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    terminate(process)
    assert ended(file, ids) == [("completed", None)] * 2


def test_a_process_whose_main_thread_ends_during_the_shutdown_still_dies_of_the_signal(file: TaskManager) -> None:
    code = """
submit('function', 2)
print('ready', flush=True)
while not module_sdk.runner.process_exit.ending_process:
    time.sleep(0.01)
"""
    process, ids = begin(file, code)

    terminate(process)
    assert ended(file, ids) == [("completed", None)]


@pytest.mark.parametrize("setting", ["handle_sigterm=False", None])
def test_the_handling_of_sigterm_can_be_turned_off(file: TaskManager, setting: str | None) -> None:
    options = "" if setting is None else f"module_sdk.configure(url=sys.argv[1], namespace='sigterm', {setting})\n"
    process, ids = begin(file, options + SHORT + "submit('function', 60)\n" + WAIT)
    terminate(process)
    assert ended(file, ids) == [("running", None) if setting else INTERRUPTED]


def test_a_handler_of_the_host_stays_installed(file: TaskManager) -> None:
    # given hosts that set a handler before or after the first submission; that handler must then end the process
    code = """
import signal
def own(*_):
    print('own', flush=True)
    sys.exit(3)
"""
    before = (
        SHORT
        + code
        + "signal.signal(signal.SIGTERM, own)\nsubmit('function', 60)\nassert signal.getsignal(signal.SIGTERM) is own\n"
    )
    after = SHORT + code + "submit('function', 60)\nsignal.signal(signal.SIGTERM, own)\nsubmit('function', 60)\n"
    for each in (before, after):
        process, ids = begin(file, each + WAIT)

        process.send_signal(signal.SIGTERM)
        output, _, _ = finish(process)

        assert output == ["own"]
        assert process.returncode == 3
        assert set(ended(file, ids)) == {INTERRUPTED}


def test_a_handler_of_the_host_may_call_ours(file: TaskManager) -> None:
    code = """
import signal
ours = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *args: (print('own', flush=True), ours(*args)))
"""
    process, ids = begin(file, SHORT + "submit('function', 60)\n" + code + WAIT)
    terminate(process)
    assert ended(file, ids) == [INTERRUPTED]


def test_a_forked_child_dies_at_once_and_the_parents_work_goes_on(file: TaskManager) -> None:
    # given a child that has submitted nothing
    code = """
import os, signal
submit('function', 2)
child = os.fork()
if not child:
    time.sleep(60)
time.sleep(0.2)
began = time.monotonic()
os.kill(child, signal.SIGTERM)
assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
assert time.monotonic() - began < 1.5, 'the child waited for work of its parent'
print('ready', flush=True)
"""
    process, ids = begin(file, code)

    assert finish(process)[1] == ""
    assert process.returncode == 0
    assert ended(file, ids) == [("completed", None)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_ends_its_own_work(file: TaskManager, tmp_path: Path, method: str) -> None:
    (tmp_path / "work_of_child.py").write_text(
        """
import time
import module_sdk
from module_sdk import tasks

@tasks.register("child.work")
def work():
    time.sleep(60)

def child(url):
    module_sdk.configure(url=url, namespace="sigterm")
    module_sdk.facade.runtime.shutdown.__defaults__ = (0.1,)
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        print(tasks.run_background_sync("child.work"), flush=True)
    time.sleep(60)
"""
    )
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
import multiprocessing
import work_of_child
child = multiprocessing.get_context({method!r}).Process(target=work_of_child.child, args=(sys.argv[1],))
child.start()
sys.stdin.readline()
child.terminate()
child.join()
assert child.exitcode == -15, child.exitcode
"""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys\n" + code, file.url.text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    task_id = process.stdout.readline().strip()
    until_status(file, task_id, "running", seconds=30)

    process.communicate("go\n", timeout=60)

    assert process.returncode == 0
    assert ended(file, [task_id]) == [INTERRUPTED]


IN_A_THREAD = """
import contextvars
thread = threading.Thread(target=contextvars.copy_context().run, args=(submit, 'function', 60))
"""


def test_work_submitted_by_another_thread_is_interrupted_if_the_main_thread_runs_a_loop(
    file: TaskManager,
) -> None:
    # given a main thread that only runs a loop
    code = (
        SHORT
        + IN_A_THREAD
        + """
async def main():
    thread.start()
    await asyncio.to_thread(thread.join)
    print('ready', flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    )
    process, ids = begin(file, code)

    terminate(process)
    assert ended(file, ids) == [INTERRUPTED]


@pytest.mark.parametrize("with_lifespan", [True, False])
def test_a_main_thread_without_a_loop_needs_a_lifespan_and_is_warned_if_it_has_none(
    file: TaskManager, with_lifespan: bool
) -> None:
    main = "thread.start()\nthread.join()\n" + WAIT
    if with_lifespan:
        main = "with module_sdk.lifespan():\n" + "".join(f"    {line}\n" for line in main.splitlines())
    process, ids = begin(file, SHORT + IN_A_THREAD + main)

    errors = terminate(process)
    assert ended(file, ids) == [INTERRUPTED if with_lifespan else ("running", None)]
    assert ("enter module_sdk.lifespan() there" in errors) != with_lifespan


def test_a_store_that_hangs_does_not_keep_the_process_alive(file: TaskManager) -> None:
    # given a store whose writes never return
    code = """
submit('function', 60)
module_sdk.facade.runtime.shutdown.__defaults__ = (0.1,)
type(module_sdk.facade.runtime.get_runtime().manager()).store_update = lambda *_: time.sleep(1000)
"""
    process, ids = begin(file, code + WAIT)

    errors = terminate(process)
    assert ended(file, ids) == [("running", None)]
    assert f"1 tasks could not be recorded as interrupted and stay active: {ids[0]}" in errors


def test_the_shutdown_waits_for_a_lock_that_the_main_thread_holds(file: TaskManager) -> None:
    # given a main thread that holds locks which the shutdown needs
    code = (
        SHORT
        + """
submit('function', 60)
runtime = module_sdk.facade.runtime.get_runtime()
with runtime.lock, runtime.executor.started.lock:
    print('ready', flush=True)
    time.sleep(1)
time.sleep(60)
"""
    )
    process, ids = begin(file, code)

    terminate(process)
    assert ended(file, ids) == [INTERRUPTED]
