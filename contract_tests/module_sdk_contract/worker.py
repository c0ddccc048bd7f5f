"""A process of its own that uses a manager on command: `python -m module_sdk_contract.worker`.

The first line on standard input is how to open the manager, each further line a command, both in JSON; every command
is answered by one line on standard output. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from module_sdk.backends import TaskManager
from module_sdk.errors import IllegalTransitionError
from module_sdk_contract.building import task_of


def create(manager: TaskManager, tasks: list[dict[str, Any]], at: float = 0.0) -> list[tuple[str, bool]]:
    """Create the tasks in order, from the moment `at` of `time.time()`; the id and whether it was created, of each."""
    time.sleep(max(0.0, at - time.time()))
    outcomes = [manager.create(task_of(fields)) for fields in tasks]
    return [(task.id, created) for task, created in outcomes]


def look(manager: TaskManager, operation: str, argument: Any, organization_id: Any = None) -> list[dict[str, Any]]:
    return list(getattr(manager, operation)(argument, organization_id))


def update(manager: TaskManager, task_id: str, changes: dict[str, Any]) -> dict[str, Any] | None:
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
    """Use the manager from threads, fork meanwhile, and use it in each child and afterwards; how that went.

    A child ends with 0 once it has created a task and read it back.
    """
    manager.create(task_of(before))
    stop = threading.Event()
    # Threads that queue for a lock leave hardly a moment in which nobody holds it.
    busy = [threading.Thread(target=keep_busy, args=(manager, before["id"], stop)) for _ in range(4)]
    for thread in busy:
        thread.start()
    endings = []
    for fields in children:
        child = os.fork()
        if child == 0:
            os._exit(use_once(manager, fields))
        endings.append(wait_for(child, seconds=5))
        if endings[-1]:
            break
    stop.set()
    for thread in busy:
        thread.join()
    return {"endings": endings, "parent": use_once(manager, after)}


def keep_busy(manager: TaskManager, task_id: str, stop: threading.Event) -> None:
    while not stop.is_set():
        manager.get(task_id)
        manager.list_user_tasks(1)


def use_once(manager: TaskManager, fields: dict[str, Any]) -> int:
    try:
        task, created = manager.create(task_of(fields))
        found = manager.get(task.id)
        return 0 if created and found == task else 1
    except BaseException as error:  # a forked child must not return into the caller
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 2


def wait_for(child: int, seconds: float) -> int:
    """The exit code of a child; -1, and its end, if it hangs."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -1


COMMANDS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (create, look, update, end_each, ready, setup, flood, fork)
}


def tell(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def serve() -> None:
    opening = json.loads(sys.stdin.readline())
    opener = pkgutil.resolve_name(opening["opener"])
    manager: TaskManager = opener(opening["url"], namespace=opening["namespace"])
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
