"""`module-sdk tasks …`: what an operator sees and does, in every organization."""

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

LOOK_AGAIN_SECONDS: Final = 0.25
COUNT_AGAIN_SECONDS: Final = 0.5
DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
# Older than 1970 by then, as is a duration of any number of digits.
LONGEST_SECONDS: Final = 1e12
SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

app = typer.Typer(help="List, follow, interrupt and remove tasks, of all organizations.", no_args_is_help=True)

STATUSES: Final = (*ACTIVE, *FINAL)


def check_statuses(statuses: list[str] | None) -> list[str] | None:
    for status in statuses or ():
        if status not in STATUSES:
            raise InvalidInputError(f"{status!r} is not one of {', '.join(STATUSES)}", field="status")
    return statuses


User = Annotated[str | None, typer.Option("--user", help="Of this user.")]
Organization = Annotated[str | None, typer.Option("--organization", help="Of this organization.")]
NoOrganization = Annotated[bool, typer.Option("--no-organization", help="Of no organization.")]
Status = Annotated[
    list[str] | None,
    typer.Option("--status", callback=check_statuses, help=f"One of {', '.join(STATUSES)}; may be repeated."),
]
Key = Annotated[str | None, typer.Option("--key", help="Whose key is exactly this.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Whose key starts with this.")]
Module = Annotated[str | None, typer.Option("--module", help="Submitted by this module.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MAXIMUM_PAGE, help="At most so many.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def enter_store(context: typer.Context) -> None:
    """Put the store in force, for an operator; not before `--help` has had its chance."""
    context.obj.open()
    context.with_resource(module_sdk.session(all_organizations=True))


def organization_of(organization: str | None, no_organization: bool) -> Identifier | Anything | None:
    """The value for a manager: a scope, or `ANY`."""
    if organization is not None and no_organization:
        raise InvalidInputError("give either --organization or --no-organization", field="organization")
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
    """The options as filters of the read model."""
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
    page: Annotated[int, typer.Option("--page", min=0, help="Counted from 0.")] = 0,
    sort: Annotated[str, typer.Option("--sort", help="A field; with - before it, descending.")] = "-updated_at",
    as_json: AsJSON = False,
) -> None:
    """Tasks, last changed first."""
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
    """One task, with its checkpoint, result and error."""
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
    """Follow the newest tasks until all that are shown have ended; Ctrl-C stops watching, not the work.

    With --json, or where the output is no terminal, a line for each change.
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
                # The ones shown are followed to their end, though they no longer match.
                filters = {"id": [row["id"] for row in rows]}
                status = None
            time.sleep(LOOK_AGAIN_SECONDS)
    if not as_json:
        console.say(f"{counted(len(rows), len(rows))}, all ended" if rows else "no such tasks")


# --- Ending and removing --------------------------------------------------------------------------------------------


@app.command()
def interrupt(
    context: typer.Context,
    task_ids: Annotated[list[str] | None, typer.Argument(metavar="ID")] = None,
    *,
    all_active: Annotated[
        bool, typer.Option("--all-active", help="Every active task, or those that the filters below select.")
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

    Work that is still running notices at its next progress, and stops.
    """
    enter_store(context)
    filters = filters_of(
        user=user, organization=organization, no_organization=no_organization, key=key, prefix=prefix, module=module
    )
    if bool(task_ids) == all_active or (filters and not all_active):
        raise InvalidInputError("give ids, or --all-active with or without filters", field="id")
    if task_ids:
        done = interrupt_tasks(task_ids)
    else:
        # Not those that are submitted from now on: they belong to processes that live.
        filters |= {"status": list(ACTIVE), "created_at__lt": format_time(system_clock())}
        count = background_tasks.count(filters)
        if count and not yes:
            confirm(f"Interrupt {counted(count, count)}?")
        done = Interrupted()
        for ids in active_ids(filters):
            more = interrupt_tasks(ids)
            done.interrupted += more.interrupted
            done.ended_before += more.ended_before
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        console.say(f"{counted(len(done.interrupted), len(done.interrupted))} interrupted")
        for task_id in done.ended_before:
            console.say(f"{task_id} had ended before")
    for task_id in done.unknown:
        console.complain(f"error: there is no task {task_id}")
    if done.unknown:
        raise typer.Exit(1)


def confirm(question: str) -> None:
    """Ask on a terminal; elsewhere refuse, for nobody could answer."""
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question} Say so with --yes, for nobody can be asked here", field="yes")
    typer.confirm(question, abort=True, err=True)


def active_ids(filters: TaskFilters) -> Iterator[list[str]]:
    """Pages of ids, until none is left: what was interrupted no longer matches."""
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
    """Remove tasks that ended, and last changed, longer ago than this."""
    enter_store(context)
    seconds = duration_seconds(older_than)
    scope = organization_of(organization, no_organization)
    filters = filters_of(user=user, organization=organization, no_organization=no_organization)
    before = format_time(max(0, system_clock() - round(min(seconds, LONGEST_SECONDS) * 1_000_000)))
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
        raise InvalidInputError(f"{text!r} is no duration: say 90s, 15m, 12h, 7d or 4w", field="older_than")
    return float(match[1]) * SECONDS[match[2]]


@contextlib.contextmanager
def removal_progress(filters: TaskFilters) -> Iterator[None]:
    """On a terminal, a bar for a removal: how many of these tasks are left is counted while it goes on."""
    total = background_tasks.count(filters) if console.error_console.is_terminal else 0
    if not total:
        yield
        return
    ended = threading.Event()
    with console.progress_bar("removing", total) as advance_to:

        def count() -> None:
            # A count that fails costs the bar, not the removal.
            with contextlib.suppress(TaskBackendError):
                while not ended.wait(COUNT_AGAIN_SECONDS):
                    advance_to(total - background_tasks.count(filters))

        counting = threading.Thread(target=contextvars.copy_context().run, args=(count,), daemon=True)
        counting.start()
        try:
            yield
            advance_to(total)
        finally:
            ended.set()
            counting.join()
