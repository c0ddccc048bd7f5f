"""`module-sdk demo`: real background work of three users, which a second process finds while it runs."""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

import module_sdk
from module_sdk import tasks
from module_sdk.cli import console
from module_sdk.cli.interrupt import interrupt_tasks
from module_sdk.cli.store import StoreOptions
from module_sdk.domain.shapes import TaskFilters, TaskRow
from module_sdk.domain.statuses import ACTIVE, COMPLETED
from module_sdk.errors import ModuleSDKError, TaskConflictError
from module_sdk.facade.runtime import get_runtime
from module_sdk.models import background_tasks

LIBRARY: Final = Path(sysconfig.get_path("stdlib"))
# Smallest first, so that the first task ends while others still wait.
PACKAGES: Final = ("logging", "http", "importlib", "xml", "email", "asyncio", "unittest", "encodings")
ORGANIZATIONS: Final = ("demo-north", "demo-south")
USERS: Final = (("ada", "demo-north"), ("grace", "demo-north"), ("alan", "demo-south"))
KEY_PREFIX: Final = "demo.compress."
COLUMNS: Final = ("package", "modules", "bytes_before", "bytes_after", "sha256")
REFRESH_SECONDS: Final = 0.2
IS_ACTIVE: Final[TaskFilters] = {"task_key__startswith": KEY_PREFIX, "status": tuple(ACTIVE)}
# A running demo stores progress many times a second.
STANDSTILL_SECONDS: Final = 2.0


@tasks.register("demo.compress")
def compress(package: str) -> dict[str, Any]:
    """Compress and hash the modules of a package; store progress and a checkpoint after each."""
    modules = sorted((LIBRARY / package).rglob("*.py"))
    digest, before, after = hashlib.sha256(), 0, 0
    for number, module in enumerate(modules, start=1):
        source = module.read_bytes()
        digest.update(source)
        by_lzma = [lzma.compress(source, preset=preset | lzma.PRESET_EXTREME) for preset in range(5)]
        before, after = before + len(source), after + min(map(len, (bz2.compress(source), *by_lzma)))
        done = (package, number, before, after, digest.hexdigest())
        tasks.current().update_progress(number / len(modules), dict(zip(COLUMNS, done, strict=True)))
    return dict(zip(COLUMNS, done, strict=True))


def submit(package: str, user: str, organization: str) -> str:
    """Start the task of a package as that user, unless it is active. Return the task's id."""
    with module_sdk.session(user={"id": user, "organization_id": organization}, module="demo"):
        label, key = f"Compress {package}", KEY_PREFIX + package
        return tasks.run_background_sync("demo.compress", label, task_key=key, package=package)


def demo(
    context: typer.Context,
    look: Annotated[
        bool, typer.Option("--look", help="Start nothing: find the tasks of a demo that runs in another process.")
    ] = False,
) -> None:
    """Compress and hash Python's standard library: one background task per package, three users, two organizations.

    Meanwhile a second process finds the tasks by user, by key and by prefix, and a double click starts nothing twice.
    """
    options: StoreOptions = context.obj
    runtime = options.open(max_running_tasks=3)
    if look:
        print_findings(f"process {os.getpid()}, which started none of the tasks, finds:")
        return
    console.say(f"store: {runtime.manager().url} ({options.source(runtime)})")
    # A host that stops the process must find its tasks recorded as interrupted, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    context.with_resource(module_sdk.session(all_organizations=True))
    try:
        free_earlier()
        run(options)
    except KeyboardInterrupt:
        module_sdk.shutdown(timeout_seconds=0)
        console.complain("stopped: tasks that were still running are recorded as interrupted")
        raise typer.Exit(130) from None


def rows_of(filters: TaskFilters) -> list[TaskRow]:
    """Return the tasks that pass the filters, oldest first."""
    return background_tasks.list(page_size=1_000, filters=filters, sort="id")["rows"]


def free_earlier() -> None:
    """Interrupt the tasks of a demo that was killed; ask first on a terminal. Leave a running demo alone."""
    left = rows_of(IS_ACTIVE)
    if not left:
        return
    console.say(f"{len(left)} tasks of an earlier demo are still recorded as active; is it still running?")
    time.sleep(STANDSTILL_SECONDS)
    if rows_of(IS_ACTIVE) != left:
        console.say("It is: its packages are left to it.")
        return
    console.say(f"It is not: nothing changed for {STANDSTILL_SECONDS:g} s, so its process was probably killed.")
    if not sys.stdin.isatty() or typer.confirm("Free them (they become interrupted)?", default=True):
        freed = interrupt_tasks(row["id"] for row in left)
        console.say(f"{len(freed.interrupted)} tasks freed: they are recorded as interrupted.")


def run(options: StoreOptions) -> None:
    """Start a task for every package whose key is free, follow them to their ends and print the results."""
    held = {row["task_key"] for row in rows_of(IS_ACTIVE)}
    every = [(package, *USERS[number % len(USERS)]) for number, package in enumerate(PACKAGES)]
    orders = [order for order in every if KEY_PREFIX + order[0] not in held]
    if not orders:
        raise TaskConflictError("another demo holds every package: wait for it, or see 'module-sdk tasks interrupt'")
    task_ids = [submit(*order) for order in orders]
    again = submit(*orders[-1])
    if again != task_ids[-1]:
        raise TaskConflictError(f"a double click on {orders[-1][0]} started it twice: {task_ids[-1]} and {again}")
    console.say(f"double click on {KEY_PREFIX}{orders[-1][0]}: {again} again, nothing started twice")
    follow(options, task_ids)
    views = [view for view in map(background_tasks.view, task_ids) if view is not None]
    results = [view["result"] for view in views if view["status"] == COMPLETED]
    console.draw(console.grid(COLUMNS, ([result[name] for name in COLUMNS] for result in results)))
    console.say(f"They stay in the store: module-sdk tasks list --prefix {KEY_PREFIX}")
    if len(results) < len(task_ids):
        ends = ", ".join(f"{view['task_key']} {view['status']} ({view['error']})" for view in views)
        raise ModuleSDKError(f"{len(task_ids) - len(results)} tasks did not complete: {ends}")


def follow(options: StoreOptions, task_ids: list[str]) -> None:
    """Show the tasks until all have ended. Once the first has ended, let a second process look for them."""
    looked = ended = False
    with console.new_display() as display:
        while not ended:
            rows = rows_of({"id": task_ids})
            display.show(rows)
            ended = console.all_ended(rows)
            if not looked and any(row["status"] not in ACTIVE for row in rows):
                look_from_second_process(options)
                looked = True
            time.sleep(REFRESH_SECONDS)


def look_from_second_process(options: StoreOptions) -> None:
    """Print what another process finds, or what this one finds if the store lives in it."""
    if not get_runtime().manager().capabilities.shared:
        console.say("this store lives in one process, so no second process can look for the tasks")
        print_findings(f"process {os.getpid()} finds:")
        return
    # Only this process can print above its live table.
    done = subprocess.run(
        [sys.executable, "-m", "module_sdk.cli", "demo", "--look"],
        env=options.environment(),
        capture_output=True,
        text=True,
        encoding=sys.stdout.encoding,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ModuleSDKError(f"the second process failed: {done.stderr}")
    console.say_lines(done.stdout)


def print_findings(heading: str) -> None:
    """Print the heading, and the answers of the three lookups as a page in any process would make them."""
    key = KEY_PREFIX + PACKAGES[0]
    found = [("user", user, one, tasks.list_user_tasks(user, one)) for user, one in USERS]
    found += [("prefix", KEY_PREFIX, one, tasks.get_tasks_by_key_prefix(KEY_PREFIX, one)) for one in ORGANIZATIONS]
    found += [("key", key, one, tasks.get_tasks_by_key(key, one)) for one in ORGANIZATIONS]
    lines = []
    for by, argument, organization, rows in found:
        if rows.error is not None:
            raise rows.error
        active = sum(row["status"] in ACTIVE for row in rows)
        lines.append((by, argument, organization, len(rows), active, len(rows) - active))
    console.say(heading)
    console.draw(console.grid(("by", "asked for", "organization", "tasks", "active", "ended"), lines))
