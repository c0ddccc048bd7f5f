"""The worker process, which uses a manager on command: `python -m module_sdk_contract.processes.worker`.

All lines are JSON. The first line on standard input says how to open the manager, and each further line is a command.
The worker answers every command with one line on standard output, and ends at the end of its input.
"""

from __future__ import annotations

import json
import pkgutil
import sys
import time
from collections.abc import Callable
from typing import Any

from module_sdk.backends import TaskManager
from module_sdk.errors import IllegalTransitionError
from module_sdk.testing import SettableClock
from module_sdk_contract.factories import task_of
from module_sdk_contract.processes.forks import fork
from module_sdk_contract.questions import Question, answers, carry_out


def create(
    manager: TaskManager, tasks: list[dict[str, Any]], at: float = 0.0
) -> list[tuple[str, bool, tuple[float, float]]]:
    """Create the tasks in order, beginning when `time.time()` reaches `at`.

    Returns for each task its id, whether it was created, and the times at which the call began and ended, on a clock
    that all processes share.
    """
    time.sleep(max(0.0, at - time.time()))
    outcomes = []
    for fields in tasks:
        began = time.monotonic()
        task, created = manager.create(task_of(fields))
        outcomes.append((task.id, created, (began, time.monotonic())))
    return outcomes


def look(manager: TaskManager, operation: str, argument: Any, organization_id: Any = None) -> list[dict[str, Any]]:
    return list(getattr(manager, operation)(argument, organization_id))


def update(manager: TaskManager, task_id: str, changes: dict[str, Any]) -> Any:
    return manager.update(task_id, **changes)


def end_each(
    manager: TaskManager, task_ids: list[str], changes: dict[str, Any], at: float
) -> list[tuple[bool, tuple[float, float]]]:
    """End the tasks in order, beginning when `time.time()` reaches `at`.

    Returns for each task whether this call ended it, and the times at which the call began and ended.
    """
    time.sleep(max(0.0, at - time.time()))
    outcomes = []
    for task_id in task_ids:
        began = time.monotonic()
        try:
            manager.update(task_id, **changes)
            won = True
        except IllegalTransitionError:
            won = False
        outcomes.append((won, (began, time.monotonic())))
    return outcomes


def ready(manager: TaskManager) -> None:
    """Return at once, without using the store: the answer proves that the process runs."""


def setup(manager: TaskManager, at: float) -> None:
    time.sleep(max(0.0, at - time.time()))
    manager.setup()


def flood(manager: TaskManager, tasks: list[dict[str, Any]]) -> None:
    """Create, start and complete each task, and print each acknowledgement at once. A kill may end this."""
    for fields in tasks:
        manager.create(task_of(fields))
        print_line(["created", fields["id"]])
        manager.update(fields["id"], status="running", progress=0.5)
        print_line(["running", fields["id"]])
        manager.update(fields["id"], status="completed", result={"of": fields["id"]})
        print_line(["completed", fields["id"]])


def write(manager: TaskManager, now: str, operation: str, arguments: dict[str, Any]) -> Any:
    """Make one write of `questions.py` with the manager's clock set to this time."""
    clock: Any = manager.clock
    clock.set(now)
    return carry_out(manager, operation, arguments)


def answer(manager: TaskManager, questions: list[Question]) -> list[Any]:
    return answers(manager, questions)


COMMANDS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (create, look, update, end_each, ready, setup, flood, fork, write, answer)
}


def print_line(answer: object) -> None:
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
        except Exception as error:  # the test that sent the command reports it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print_line(answer)
    manager.close()


if __name__ == "__main__":
    serve()
