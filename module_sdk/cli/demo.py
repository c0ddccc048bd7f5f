"""`module-sdk demo`: real background work of three users, found again by a second process while it runs."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Final

import typer

import module_sdk
from module_sdk import tasks
from module_sdk.cli import console, demo_work
from module_sdk.cli.interrupt import interrupt_tasks
from module_sdk.cli.store import StoreOptions
from module_sdk.domain.rows import LookupResult
from module_sdk.domain.shapes import TaskFilters, TaskRow
from module_sdk.domain.statuses import ACTIVE, COMPLETED, RUNNING
from module_sdk.errors import ModuleSDKError, TaskConflictError
from module_sdk.facade.runtime import get_runtime
from module_sdk.models import background_tasks

USERS: Final = (("ada", "demo-north"), ("grace", "demo-north"), ("alan", "demo-south"))
"""Each with an organization."""
ORGANIZATIONS: Final = ("demo-north", "demo-south")
MODULE: Final = "demo"
# So that some packages wait while others are worked on, and two processors are busy.
RUNNING_AT_A_TIME: Final = 3
LOOK_AGAIN_SECONDS: Final = 0.2
# A demo that lives stores progress many times a second.
STANDSTILL_SECONDS: Final = 2.0
FINDING_COLUMNS: Final = ("by", "asked for", "organization", "tasks", "active", "ended", "newest")


@dataclasses.dataclass(frozen=True)
class Order:
    """One user asks for one package."""

    package: str
    user: str
    organization: str

    @property
    def key(self) -> str:
        return f"{demo_work.KEY_PREFIX}{self.package}"

    def submit(self) -> str:
        """Start the work, unless it is under way; the task's id."""
        with module_sdk.session(user={"id": self.user, "organization_id": self.organization}, module=MODULE):
            return tasks.run_background_sync(
                demo_work.FUNCTION_NAME, f"Catalogue {self.package}", task_key=self.key, package=self.package
            )


def demo(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Only every second package.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Free the tasks of an earlier demo that was killed; do not ask.")
    ] = False,
    look: Annotated[
        bool, typer.Option("--look", help="Start nothing: find the tasks of a demo that runs in another process.")
    ] = False,
) -> None:
    """Compress and hash Python's standard library: a background task a package, three users, two organizations.

    Meanwhile a second process finds the tasks by user, by key and by prefix, and a double click starts nothing twice.
    """
    options: StoreOptions = context.obj
    runtime = options.open(max_running_tasks=RUNNING_AT_A_TIME)
    # A lookup would answer [] and log why; a store that does not answer at all is better said once.
    runtime.manager().ping()
    if look:
        print_findings()
        return
    console.say(f"store: {runtime.manager().url} ({options.source(runtime)})")
    # A process that is asked to end, by Ctrl-C or by its host, says of its tasks that they were interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        free_earlier(yes=yes)
        run(options, free_orders(quick=quick))
    except KeyboardInterrupt:
        module_sdk.shutdown(timeout_seconds=0)
        console.complain("stopped: what still ran is recorded as interrupted")
        raise typer.Exit(130) from None


# --- What an earlier demo left --------------------------------------------------------------------------------------


def active_rows() -> list[TaskRow]:
    """The active tasks of any demo. Raises what the lookup failed with."""
    rows: list[TaskRow] = []
    for organization in ORGANIZATIONS:
        rows += answered(tasks.get_tasks_by_key_prefix(demo_work.KEY_PREFIX, organization))
    return [row for row in rows if row["status"] in ACTIVE]


def answered(rows: LookupResult) -> LookupResult:
    if rows.error is not None:
        raise rows.error
    return rows


def free_earlier(*, yes: bool) -> None:
    """Offer to free what a killed demo still holds. A demo that works elsewhere moves, and is left alone.

    Where nobody can be asked they are freed: these tasks are the demo's own, and nothing runs them.
    """
    left = active_rows()
    if not left:
        return
    console.say(f"{len(left)} tasks of an earlier demo are still recorded as active; does it still run?")
    if moves(left):
        console.say("It does: its packages are left to it.")
        return
    console.say(f"It does not: nothing has moved for {STANDSTILL_SECONDS:g} s, so its process was probably killed.")
    if not yes and sys.stdin.isatty() and not typer.confirm("Free them (they become interrupted)?", default=True):
        console.say("They stay as they are. Later: module-sdk tasks interrupt --all-active --prefix demo.")
        return
    freed = interrupt_tasks(row["id"] for row in left)
    console.say(f"{len(freed.interrupted)} tasks freed: they are recorded as interrupted.")


def moves(left: list[TaskRow]) -> bool:
    deadline = time.monotonic() + STANDSTILL_SECONDS
    while time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_SECONDS)
        if active_rows() != left:
            return True
    return False


def free_orders(*, quick: bool) -> list[Order]:
    """What there is to do: every package whose key is free. Raises `TaskConflictError` if none is."""
    orders = [Order(package, *USERS[position % len(USERS)]) for position, package in enumerate(demo_work.packages())]
    held = {(row["organization_id"], row["task_key"]) for row in active_rows()}
    free = [order for order in orders if (order.organization, order.key) not in held]
    if not free:
        raise TaskConflictError("another demo holds every package: wait for it, or see 'module-sdk tasks interrupt'")
    return free[::2] if quick else free


# --- The work -------------------------------------------------------------------------------------------------------


def run(options: StoreOptions, orders: list[Order]) -> None:
    started = time.monotonic()
    task_ids = []
    for order in orders:
        task_ids.append(order.submit())
        if not console.console.is_terminal:
            console.say(f"submitted   {task_ids[-1]}  {order.key}  user {order.user} of {order.organization}")
    double_click(orders[-1], task_ids[-1])
    rows = follow(options, task_ids)
    report(task_ids, time.monotonic() - started)
    if any(row["status"] != COMPLETED for row in rows):
        raise typer.Exit(1)


def double_click(order: Order, task_id: str) -> None:
    """Ask for the same package again. Raises `TaskConflictError` if that started it a second time."""
    again = order.submit()
    if again != task_id:
        raise TaskConflictError(f"a double click on {order.key} started it twice: {task_id} and {again}")
    console.say(f"double click on {order.key}: {again} again, nothing started twice")


def follow(options: StoreOptions, task_ids: list[str]) -> list[TaskRow]:
    """Show the tasks until all have ended; once the first has, let another process look for them."""
    filters: TaskFilters = {"id": task_ids}
    look: Future[None] | None = None
    with (
        ThreadPoolExecutor(1) as beside,
        module_sdk.session(all_organizations=True),
        console.new_display() as display,
    ):
        while True:
            rows = background_tasks.list(page_size=len(task_ids), filters=filters, sort="id")["rows"]
            display.show(rows)
            if look is None and not all(row["status"] in ACTIVE for row in rows):
                look = beside.submit(look_from_second_process, options)
            if look is not None and console.all_ended(rows):
                look.result()
                return rows
            time.sleep(LOOK_AGAIN_SECONDS)


def report(task_ids: list[str], seconds: float) -> None:
    with module_sdk.session(all_organizations=True):
        views = [view for view in map(background_tasks.view, task_ids) if view is not None]
    results = [view["result"] for view in views if view["status"] == COMPLETED]
    columns = ("package", "modules", "bytes before", "after", "smallest by", "sha256")
    lines = [
        (
            result["package"],
            result["modules"],
            result["bytes_before"],
            result["bytes_after"],
            max(result["encodings"], key=result["encodings"].get),
            result["sha256"][:12],
        )
        for result in results
    ]
    console.draw(console.grid(columns, lines))
    for view in views:
        if view["status"] != COMPLETED:
            console.complain(f"{view['task_key']}: {view['status']}, {view['error']}")
    before, after = (sum(result[name] for result in results) for name in ("bytes_before", "bytes_after"))
    console.say(
        f"{len(results)} of {len(task_ids)} tasks completed in {seconds:.1f} s: {before:,} bytes became {after:,}"
    )
    console.say(f"They stay in the store: module-sdk tasks list --prefix {demo_work.KEY_PREFIX}")


# --- The second process ---------------------------------------------------------------------------------------------


def look_from_second_process(options: StoreOptions) -> None:
    """Print what another process finds; of a store that lives in this one, what this one finds.

    Raises `ModuleSDKError` if the other process fails.
    """
    if not get_runtime().manager().capabilities.shared:
        console.say("this store lives in one process, so no second one can look; from this one:")
        print_findings()
        return
    done = subprocess.run(
        [sys.executable, "-m", "module_sdk.cli", "demo", "--look"],
        env=options.environment(),
        capture_output=True,
        text=True,
        encoding=sys.stdout.encoding,
        errors="replace",
        check=False,
        start_new_session=True,  # Ctrl-C is for the demo alone
    )
    if done.returncode:
        raise ModuleSDKError(f"the second process failed: {done.stderr}")
    console.say_lines(done.stdout)


def print_findings() -> None:
    """The three lookups, as a page of any process would make them."""
    by_prefix = {one: answered(tasks.get_tasks_by_key_prefix(demo_work.KEY_PREFIX, one)) for one in ORGANIZATIONS}
    lines = [("user", user, one, answered(tasks.list_user_tasks(user, one))) for user, one in USERS]
    lines += [("prefix", demo_work.KEY_PREFIX, one, rows) for one, rows in by_prefix.items()]
    here, elsewhere = ORGANIZATIONS
    for row in sorted(by_prefix[here], key=lambda row: row["status"] != RUNNING)[:1]:
        key = row["task_key"] or ""
        lines += [("key", key, one, answered(tasks.get_tasks_by_key(key, one))) for one in (here, elsewhere)]
    console.say(f"process {os.getpid()}, which started none of it, finds:")
    console.draw(console.grid(FINDING_COLUMNS, (finding(*line) for line in lines)))


def finding(by: str, value: str, organization: str, rows: LookupResult) -> tuple[object, ...]:
    states = Counter("active" if row["status"] in ACTIVE else "ended" for row in rows)
    newest = f"{rows[0]['status']} {console.percent(rows[0]['progress'])}" if rows else None
    return by, value, organization, len(rows), states["active"], states["ended"], newest
