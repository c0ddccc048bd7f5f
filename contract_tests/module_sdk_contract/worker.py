"""A process of its own that uses a manager on command: `python -m module_sdk_contract.worker`.

The first line on standard input is how to open the manager, each further line a command, both in JSON; every command
is answered by one line on standard output. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from module_sdk.backends import TaskManager
from module_sdk.errors import IllegalTransitionError
from module_sdk.testing import SettableClock
from module_sdk_contract.building import task_of
from module_sdk_contract.questions import Question, answers, carry_out

PIPE_BYTES: Final = 4_096
"""A child writes no more than fits into a pipe that its parent reads later."""


def create(manager: TaskManager, tasks: list[dict[str, Any]], at: float = 0.0) -> list[tuple[str, bool]]:
    """Create the tasks in order, from the moment `at` of `time.time()`; the id and whether it was created, of each."""
    time.sleep(max(0.0, at - time.time()))
    outcomes = [manager.create(task_of(fields)) for fields in tasks]
    return [(task.id, created) for task, created in outcomes]


def look(manager: TaskManager, operation: str, argument: Any, organization_id: Any = None) -> list[dict[str, Any]]:
    return list(getattr(manager, operation)(argument, organization_id))


def update(manager: TaskManager, task_id: str, changes: dict[str, Any]) -> Any:
    return manager.update(task_id, **changes)


def end_each(manager: TaskManager, task_ids: list[str], changes: dict[str, Any], at: float) -> list[str]:
    """End the tasks in order, from the moment `at`; `won` or `lost`, of each."""
    time.sleep(max(0.0, at - time.time()))
    told = []
    for task_id in task_ids:
        try:
            manager.update(task_id, **changes)
            told.append("won")
        except IllegalTransitionError:
            told.append("lost")
    return told


def ready(manager: TaskManager) -> None:
    """The process is up, and has not touched the store."""


def setup(manager: TaskManager, at: float) -> None:
    time.sleep(max(0.0, at - time.time()))
    manager.setup()


def flood(manager: TaskManager, tasks: list[dict[str, Any]]) -> None:
    """Create, start and complete each task, and tell each acknowledgement at once, until killed or done."""
    for fields in tasks:
        manager.create(task_of(fields))
        tell(["created", fields["id"]])
        manager.update(fields["id"], status="running", progress=0.5)
        tell(["running", fields["id"]])
        manager.update(fields["id"], status="completed", result={"of": fields["id"]})
        tell(["completed", fields["id"]])


def fork(
    manager: TaskManager, before: dict[str, Any], children: list[dict[str, Any]], after: dict[str, Any]
) -> dict[str, Any]:
    """Use the manager from threads, fork meanwhile, and use it in each child and in the parent afterwards.

    Returns what went wrong in the first child that failed and in the parent, in words; the empty text for nothing.
    """
    manager.create(task_of(before))
    stop = threading.Event()
    # Threads that queue for a lock leave hardly a moment in which nobody holds it.
    busy = [threading.Thread(target=keep_busy, args=(manager, before["id"], stop)) for _ in range(4)]
    for thread in busy:
        thread.start()
    found = ""
    for number, fields in enumerate(children, 1):
        found = use_in_child(manager, fields, seconds=5)
        if found:
            found = f"child {number} of {len(children)} {found}"
            break
    stop.set()
    for thread in busy:
        thread.join()
    return {"child": found, "parent": use_once(manager, after)}


def keep_busy(manager: TaskManager, task_id: str, stop: threading.Event) -> None:
    while not stop.is_set():
        manager.get(task_id)
        manager.list_user_tasks(1)


def use_in_child(manager: TaskManager, fields: dict[str, Any], seconds: float) -> str:
    """What went wrong when a forked child used the manager; the child is killed if it has not ended in time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, use_once(manager, fields).encode()[:PIPE_BYTES])
        os._exit(0)
    os.close(writing)
    until = time.monotonic() + seconds
    ended, status = 0, 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.005)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as answer:
        found = answer.read().decode(errors="replace")
    if not ended:
        return f"hung: it neither answered nor raised within {seconds:g} s"
    code = os.waitstatus_to_exitcode(status)
    return f"ended with exit code {code}" if code else found


def use_once(manager: TaskManager, fields: dict[str, Any]) -> str:
    """Create a task and read it back; what went wrong, in words."""
    try:
        task, created = manager.create(task_of(fields))
        found = manager.get(task.id)
    except BaseException as error:  # a forked child must not return into the caller
        return f"raised {type(error).__name__}: {error}"
    if not created:
        return f"created a task of a new key, and create returned another task, {task.id}, as its holder"
    return "" if found == task else f"created a task, and get returned {found} instead of it"


def write(manager: TaskManager, now: str, operation: str, arguments: dict[str, Any]) -> Any:
    """One write of `questions.py`, by a clock that shows this time."""
    clock: Any = manager.clock
    clock.set(now)
    return carry_out(manager, operation, arguments)


def answer(manager: TaskManager, questions: list[Question]) -> list[Any]:
    return answers(manager, questions)


COMMANDS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (create, look, update, end_each, ready, setup, flood, fork, write, answer)
}


def tell(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def serve() -> None:
    opening = json.loads(sys.stdin.readline())
    opener = pkgutil.resolve_name(opening["opener"])
    options = {"clock": SettableClock(opening["clock"])} if opening.get("clock") else {}
    manager: TaskManager = opener(opening["url"], namespace=opening["namespace"], **options)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"answer": COMMANDS[command["name"]](manager, **command["arguments"])}
        except Exception as error:  # the test that asked reports it
            answer = {"error": f"{type(error).__name__}: {error}"}
        tell(answer)
    manager.close()


if __name__ == "__main__":
    serve()
