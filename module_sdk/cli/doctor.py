"""`module-sdk doctor`: which store is in use and why, what it is, and whether it works."""

from __future__ import annotations

import contextlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from module_sdk import __version__
from module_sdk.cli import console
from module_sdk.cli.store import StoreOptions
from module_sdk.domain.rows import LookupResult
from module_sdk.domain.statuses import COMPLETED, INTERRUPTED, RUNNING
from module_sdk.domain.task import Task
from module_sdk.domain.text_rules import new_task_id
from module_sdk.errors import IllegalTransitionError, ModuleSDKError, TaskBackendError
from module_sdk.plugins.registry import registry
from module_sdk.store.manager import TaskManager

ORGANIZATION: Final = "module-sdk-doctor"
"""Reserved for the task that the check writes and removes."""
SAMPLES: Final = 21
MAXIMUM_SAMPLING_SECONDS: Final = 2.0
REMOVAL_SECONDS: Final = 2.0
SAMPLE_RESULT: Final = {"text": "é\N{GRINNING FACE}'\"%_\\", "large": 2**70, "nested": [None, {"$set": 0.1}]}
MISSING_CAPABILITIES: Final = {
    "shared": "the store is not shared: other processes do not see its tasks",
    "durable": "the store is not durable: an acknowledged task can be lost when a process is killed",
}
"""The warning for each capability that a store does not declare."""

Report = dict[str, Any]


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the store: its URL and where that comes from, versions, schema, latency, and a task written and removed.

    The exit code is 1 if a check failed. Warnings do not change it.
    """
    report = examine(context.obj)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        print_report(report)
    if report["trouble"]:
        raise typer.Exit(1)


def examine(options: StoreOptions) -> Report:
    """Make the checks in turn, up to the first that fails, and return a report as plain JSON."""
    report: Report = {
        "ok": False,
        "store": {},
        "versions": {"module-sdk": __version__, "Python": platform.python_version()},
        "facts": {},
        "capabilities": [],
        "latency_milliseconds": {},
        "warnings": [],
        "trouble": [],
    }
    try:
        runtime = options.open()
        manager = runtime.manager()
        report["store"] = {
            "url": str(manager.url),
            "from": options.source(runtime),
            "namespace": manager.options.namespace,
            "backend": type(manager).__module__.partition(".")[0],
            "installed": registry.schemes(),
        }
        for check in CHECKS:
            check(manager, report)
    except ModuleSDKError as error:
        report["trouble"].append(f"{type(error).__name__}: {error}")
    report["ok"] = not report["trouble"]
    return report


# --- Checks ---------------------------------------------------------------------------------------------------------


def check_facts(manager: TaskManager, report: Report) -> None:
    diagnosis = manager.diagnose()
    report["facts"] = diagnosis.facts
    report["warnings"] += diagnosis.warnings
    report["capabilities"] = declared = manager.capabilities.names()
    report["warnings"] += [warning for name, warning in MISSING_CAPABILITIES.items() if name not in declared]


def check_latency(manager: TaskManager, report: Report) -> None:
    report["latency_milliseconds"] = {
        "ping": median_milliseconds(manager.ping),
        "lookup": median_milliseconds(lambda: manager.get_tasks_by_key("module-sdk.doctor", ORGANIZATION, limit=1)),
    }


def median_milliseconds(call: Callable[[], object]) -> float:
    samples: list[float] = []
    stop = time.monotonic() + MAXIMUM_SAMPLING_SECONDS
    while len(samples) < SAMPLES and (not samples or time.monotonic() < stop):
        began = time.perf_counter()
        call()
        samples.append((time.perf_counter() - began) * 1_000)
    return round(statistics.median(samples), 3)


def check_round_trip(manager: TaskManager, report: Report) -> None:
    """Write a task, look it up in three ways, complete it, read it back and remove it."""
    name = f"module-sdk.doctor.{new_task_id()}"
    task = Task.new(user_id=name, organization_id=ORGANIZATION, module="module_sdk", task_key=name, now=manager.clock())
    began = time.perf_counter()
    manager.create(task)
    report["latency_milliseconds"]["write"] = round((time.perf_counter() - began) * 1_000, 3)
    try:
        for name, rows in lookups(manager, task).items():
            if rows != [task.to_row()]:
                raise TaskBackendError(
                    f"a task was written, but {name} found {len(rows)} tasks and not exactly that one"
                )
        manager.update(task.id, status=RUNNING)
        manager.update(task.id, status=COMPLETED, result=SAMPLE_RESULT)
        stored = manager.get(task.id, organization_id=ORGANIZATION)
        if stored is None or stored.status != COMPLETED or stored.result != SAMPLE_RESULT:
            raise TaskBackendError("a task was completed, but read back without its status or its result")
    finally:
        remove(manager, task)


def lookups(manager: TaskManager, task: Task) -> dict[str, LookupResult]:
    key = str(task.task_key)
    return {
        "list_user_tasks": manager.list_user_tasks(task.user_id, ORGANIZATION),
        "get_tasks_by_key": manager.get_tasks_by_key(key, ORGANIZATION),
        "get_tasks_by_key_prefix": manager.get_tasks_by_key_prefix(key[:-1], ORGANIZATION),
    }


def remove(manager: TaskManager, task: Task) -> None:
    with contextlib.suppress(IllegalTransitionError):
        manager.update(task.id, status=INTERRUPTED, error="module-sdk doctor")
    stop = time.monotonic() + REMOVAL_SECONDS
    # A task that ended in this microsecond is not old enough yet.
    while not manager.prune(0, organization_id=ORGANIZATION, user_id=task.user_id) and time.monotonic() < stop:
        time.sleep(0.01)
    for name, rows in lookups(manager, task).items():
        if rows:
            raise TaskBackendError(f"a task was removed, but {name} still found it")


CHECKS: Final[tuple[Callable[[TaskManager, Report], None], ...]] = (check_facts, check_latency, check_round_trip)


# --- The report as text -----------------------------------------------------------------------------------------------


def print_report(report: Report) -> None:
    store = {**report["store"], "installed": ", ".join(report["store"].get("installed", ()))}
    latency = {name: f"{value:.2f} ms" for name, value in report["latency_milliseconds"].items()}
    sections = {
        "Store": store if report["store"] else {},
        "Versions": report["versions"],
        "Facts": report["facts"],
        "Capabilities": {"declared": ", ".join(report["capabilities"])} if report["capabilities"] else {},
        "Latency (median; one write)": latency,
    }
    for title, facts in sections.items():
        if facts:
            console.say(title, "bold")
            console.draw(console.facts_table(facts))
            console.say("")
    for warning in report["warnings"]:
        console.say(f"warning: {warning}", "yellow")
    for trouble in report["trouble"]:
        console.complain(f"error: {trouble}")
    if report["ok"]:
        console.say("A task was written, found by user, key and prefix, completed, read and removed.", "green")
