"""`module-sdk tasks …`: the commands of an operator, across all organizations."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, cast

import typer

import module_sdk
from module_sdk.cli import console
from module_sdk.cli.interrupt import Interrupted, interrupt_tasks
from module_sdk.domain.query import MAXIMUM_PAGE
from module_sdk.domain.sentinels import ANY, Anything
from module_sdk.domain.shapes import Identifier, TaskFilters, TaskSort, TaskStatus
from module_sdk.domain.statuses import ACTIVE, FINAL
from module_sdk.domain.timestamps import format_time, system_clock
from module_sdk.errors import InvalidInputError, TaskBackendError, TaskNotFoundError
from module_sdk.facade.runtime import get_runtime
from module_sdk.models import background_tasks

REFRESH_SECONDS: Final = 0.25
RECOUNT_SECONDS: Final = 0.5
DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
# Longer than the time since 1970, so longer durations select the same tasks.
MAXIMUM_DURATION_SECONDS: Final = 1e12
UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

app = typer.Typer(help="List, follow, interrupt and remove tasks, of all organizations.", no_args_is_help=True)

STATUSES: Final = (*ACTIVE, *FINAL)


def check_statuses(statuses: list[str] | None) -> list[str] | None:
    for status in statuses or ():
        if status not in STATUSES:
            raise InvalidInputError(f"{status!r} is not one of {', '.join(STATUSES)}", field="status")
    return statuses


User = Annotated[str | None, typer.Option("--user", help="Only tasks of this user.")]
Organization = Annotated[str | None, typer.Option("--organization", help="Only tasks of this organization.")]
NoOrganization = Annotated[bool, typer.Option("--no-organization", help="Only tasks without an organization.")]
Status = Annotated[
    list[str] | None,
    typer.Option("--status", callback=check_statuses, help=f"One of {', '.join(STATUSES)}; may be repeated."),
]
Key = Annotated[str | None, typer.Option("--key", help="Only tasks with exactly this key.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Only tasks whose key starts with this.")]
Module = Annotated[str | None, typer.Option("--module", help="Only tasks submitted by this module.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MAXIMUM_PAGE, help="The maximum number of tasks.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def enter_store(context: typer.Context) -> None:
    """Open the store for an operator. Called by each command, since `--help` must not need a store."""
    context.obj.open()
    context.with_resource(module_sdk.session(all_organizations=True))


def organization_of(organization: str | None, no_organization: bool) -> Identifier | Anything | None:
    """Return the argument that a manager expects for these options: an organization, `None`, or `ANY`."""
    if organization is not None and no_organization:
        raise InvalidInputError("pass either --organization or --no-organization", field="organization")
    return None if no_organization else ANY if organization is None else organization


def filters_of(
    *,
    user: str | None = None,
    organization: str | None = None,
    no_organization: bool = False,
    status: list[str] | None = None,
    key: str | None = None,
    prefix: str | None = None,
    module: str | None = None,
) -> TaskFilters:
    """Return the options as filters of the read model."""
    scope = organization_of(organization, no_organization)
    named = {"user_id": user, "task_key": key, "task_key__startswith": prefix, "module": module}
    filters = cast("TaskFilters", {name: value for name, value in named.items() if value is not None})
    if scope is not ANY:
        filters["organization_id"] = scope
    if status:
        filters["status"] = cast("Sequence[TaskStatus]", status)
    return filters


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


# --- Looking --------------------------------------------------------------------------------------------------------


@app.command("list")
def list_tasks(
    context: typer.Context,
    *,
    user: User = None,
    organization: Organization = None,
    no_organization: NoOrganization = False,
    status: Status = None,
    key: Key = None,
    prefix: Prefix = None,
    module: Module = None,
    limit: Limit = 25,
    page: Annotated[int, typer.Option("--page", min=0, help="The page, counted from 0.")] = 0,
    sort: Annotated[str, typer.Option("--sort", help="A field; with a leading - in descending order.")] = "-updated_at",
    as_json: AsJSON = False,
) -> None:
    """List tasks, most recently changed first."""
    enter_store(context)
    filters = filters_of(
        user=user,
        organization=organization,
        no_organization=no_organization,
        status=status,
        key=key,
        prefix=prefix,
        module=module,
    )
    found = background_tasks.list(page, limit, filters, cast("TaskSort", sort))
    if as_json:
        print_json(found)
        return
    if found["rows"]:
        console.draw(console.list_table(found["rows"]))
    console.say(counted(len(found["rows"]), found["total_rows"]))


def counted(shown: int, total: int) -> str:
    tasks = "1 task" if total == 1 else f"{total:,} tasks"
    return tasks if shown == total else f"{shown:,} of {tasks}"


@app.command()
def show(
    context: typer.Context, task_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJSON = False
) -> None:
    """Show one task, with its checkpoint, result and error."""
    enter_store(context)
    view = background_tasks.view(task_id)
    if view is None:
        raise TaskNotFoundError(f"there is no task {task_id}")
    if as_json:
        print_json(view)
    else:
        console.draw(console.facts_table(view))


@app.command()
def watch(
    context: typer.Context,
    task_ids: Annotated[list[str] | None, typer.Argument(metavar="ID")] = None,
    *,
    user: User = None,
    organization: Organization = None,
    no_organization: NoOrganization = False,
    status: Status = None,
    key: Key = None,
    prefix: Prefix = None,
    module: Module = None,
    limit: Limit = 25,
    as_json: AsJSON = False,
) -> None:
    """Follow the newest tasks until all that are shown have ended. Ctrl-C stops watching, not the work.

    With --json, or if the output is not a terminal, print a line for each change.
    """
    enter_store(context)
    filters = filters_of(
        user=user,
        organization=organization,
        no_organization=no_organization,
        status=status,
        key=key,
        prefix=prefix,
        module=module,
    )
    if task_ids:
        filters["id"] = task_ids
    with console.new_display(as_json=as_json) as display:
        while True:
            rows = background_tasks.list(0, limit, filters, "-created_at")["rows"]
            display.show(rows)
            if console.all_ended(rows):
                break
            if status:
                # Follow the tasks that were shown to their ends, although they may no longer match.
                filters = {"id": [row["id"] for row in rows]}
                status = None
            time.sleep(REFRESH_SECONDS)
    if not as_json:
        console.say(f"{counted(len(rows), len(rows))}, all ended" if rows else "no such tasks")


# --- Ending and removing --------------------------------------------------------------------------------------------


@app.command()
def interrupt(
    context: typer.Context,
    task_ids: Annotated[list[str] | None, typer.Argument(metavar="ID")] = None,
    *,
    all_active: Annotated[
        bool, typer.Option("--all-active", help="Every active task that passes the filters below.")
    ] = False,
    user: User = None,
    organization: Organization = None,
    no_organization: NoOrganization = False,
    key: Key = None,
    prefix: Prefix = None,
    module: Module = None,
    yes: Yes = False,
    as_json: AsJSON = False,
) -> None:
    """Record tasks as interrupted and so free their keys, for instance after their process was killed.

    Work that is still running stops when it next reports progress.
    """
    enter_store(context)
    filters = filters_of(
        user=user, organization=organization, no_organization=no_organization, key=key, prefix=prefix, module=module
    )
    if bool(task_ids) == all_active or (filters and not all_active):
        raise InvalidInputError("pass ids, or --all-active with or without filters", field="id")
    if task_ids:
        outcome = interrupt_tasks(task_ids)
    else:
        # Exclude tasks submitted from now on: their processes are alive.
        filters |= {"status": list(ACTIVE), "created_at__lt": format_time(system_clock())}
        count = background_tasks.count(filters)
        if count and not yes:
            confirm(f"Interrupt {counted(count, count)}?")
        outcome = Interrupted()
        for ids in active_ids(filters):
            more = interrupt_tasks(ids)
            outcome.interrupted += more.interrupted
            outcome.ended_before += more.ended_before
    if as_json:
        print_json(dataclasses.asdict(outcome))
    else:
        console.say(f"{counted(len(outcome.interrupted), len(outcome.interrupted))} interrupted")
        for task_id in outcome.ended_before:
            console.say(f"{task_id} had ended before")
    for task_id in outcome.unknown:
        console.complain(f"error: there is no task {task_id}")
    if outcome.unknown:
        raise typer.Exit(1)


def confirm(question: str) -> None:
    """Ask on a terminal. Raise `InvalidInputError` elsewhere, since nobody could answer."""
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question} Nobody can be asked here: confirm with --yes", field="yes")
    typer.confirm(question, abort=True, err=True)


def active_ids(filters: TaskFilters) -> Iterator[list[str]]:
    """Yield pages of ids until none is left. Interrupted tasks no longer match, so the first page is read each time."""
    while rows := background_tasks.list(0, MAXIMUM_PAGE, filters, "created_at")["rows"]:
        yield [row["id"] for row in rows]


@app.command()
def prune(
    context: typer.Context,
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="Such as 90s, 15m, 12h, 7d or 4w.")
    ],
    user: User = None,
    organization: Organization = None,
    no_organization: NoOrganization = False,
    as_json: AsJSON = False,
) -> None:
    """Remove tasks that have ended and last changed longer ago than this."""
    enter_store(context)
    seconds = duration_seconds(older_than)
    scope = organization_of(organization, no_organization)
    filters = filters_of(user=user, organization=organization, no_organization=no_organization)
    before = format_time(max(0, system_clock() - round(min(seconds, MAXIMUM_DURATION_SECONDS) * 1_000_000)))
    filters |= {"status": list(FINAL), "updated_at__lt": before}
    with removal_progress(filters):
        removed = get_runtime().manager().prune(seconds, organization_id=scope, user_id=ANY if user is None else user)
    if as_json:
        print_json({"removed": removed})
    else:
        console.say(f"{counted(removed, removed)} removed")


def duration_seconds(text: str) -> float:
    match = DURATION.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"{text!r} is not a duration: write 90s, 15m, 12h, 7d or 4w", field="older_than")
    return float(match[1]) * UNIT_SECONDS[match[2]]


@contextlib.contextmanager
def removal_progress(filters: TaskFilters) -> Iterator[None]:
    """Show a bar on a terminal during a removal, by counting how many of these tasks remain."""
    total = background_tasks.count(filters) if console.error_console.is_terminal else 0
    if not total:
        yield
        return
    ended = threading.Event()
    with console.progress_bar("removing", total) as advance_to:

        def count() -> None:
            # A failed count stops the bar, but not the removal.
            with contextlib.suppress(TaskBackendError):
                while not ended.wait(RECOUNT_SECONDS):
                    advance_to(total - background_tasks.count(filters))

        counting = threading.Thread(target=contextvars.copy_context().run, args=(count,), daemon=True)
        counting.start()
        try:
            yield
            advance_to(total)
        finally:
            ended.set()
            counting.join()
