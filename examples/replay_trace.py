"""Replay of a job log into a store, followed by lookups of every user, key prefix and last key of a prefix.

    python examples/replay_trace.py --url sqlite:///replay.db

The log is in the Standard Workload Format (examples/data/README.md). Each job becomes a completed task. Its id
is derived from the log and the job number, so that a second replay writes nothing twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import itertools
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import module_sdk

SHIPPED_LOG: Final = Path(__file__).parent / "data" / "NASA-iPSC-1993-first-2000.swf.gz"
ID_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://www.cs.huji.ac.il/labs/parallel/workload/")
SECOND: Final = 1_000_000
COLUMNS: Final = 18


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One line of the log; times in seconds, -1 for unknown."""

    log_start: int
    number: int
    submit: int
    wait: int
    run: int
    user: int
    group: int
    executable: int

    @property
    def prefix(self) -> str:
        """The prefix of the keys of all jobs of one group and executable."""
        return f"hpc.{self.group}.{self.executable}."

    @property
    def key(self) -> str:
        return f"{self.prefix}{self.number}"

    def to_task(self) -> module_sdk.Task:
        submitted = self.log_start + self.submit
        started = submitted + max(self.wait, 0)
        finished = started + max(self.run, 0)
        return module_sdk.Task(
            id=str(uuid.uuid5(ID_NAMESPACE, f"{self.log_start} {self.number}")),
            module="hpc",
            label=f"Job {self.number}",
            status="completed",
            progress=1.0,
            task_key=self.key,
            user_id=self.user,
            organization_id=self.group,
            created_at=submitted * SECOND,
            updated_at=finished * SECOND,
            started_at=started * SECOND,
            finished_at=finished * SECOND,
        )


def read_jobs(log: Path, limit: int | None = None) -> Iterator[Job]:
    """Yield the jobs in the order of the log. Raise `ValueError` for a line that is not in the format."""
    return itertools.islice(parse_jobs(log), limit)


def parse_jobs(log: Path) -> Iterator[Job]:
    log_start = None
    with gzip.open(log, "rt") if log.suffix == ".gz" else log.open() as lines:
        for line_number, line in enumerate(lines, start=1):
            if header := re.match(r";\s*UnixStartTime:\s*(\d+)", line):
                log_start = int(header[1])
            if line.startswith(";") or not line.strip():
                continue
            columns = line.split()
            if log_start is None or len(columns) != COLUMNS:
                raise ValueError(f"{log}, line {line_number}: not in the Standard Workload Format")
            number, submit, wait, run = map(int, columns[:4])
            user, group, executable = map(int, columns[11:14])
            yield Job(log_start, number, submit, wait, run, user, group, executable)


@dataclasses.dataclass
class Survey:
    """The users, keys and key prefixes in a log."""

    jobs: int = 0
    users: set[tuple[int, int]] = dataclasses.field(default_factory=set)
    last_jobs: dict[str, Job] = dataclasses.field(default_factory=dict)
    """The last job of each prefix."""

    @classmethod
    def of(cls, jobs: Iterable[Job]) -> Survey:
        survey = cls()
        for job in jobs:
            survey.jobs += 1
            survey.users.add((job.user, job.group))
            survey.last_jobs[job.prefix] = job
        return survey


@dataclasses.dataclass
class Totals:
    """The totals over all calls of one lookup."""

    lookup: str
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0


def replay(manager: module_sdk.TaskManager, jobs: Iterable[Job]) -> int:
    """Write every job that is not in the store yet. Return how many. Memory does not grow with the log."""
    return manager.import_tasks(job.to_task() for job in jobs)


def look_up_everything(survey: Survey, progress: Progress) -> list[Totals]:
    """Look up every user, every prefix, and the last key of every prefix. Raise the error of a failed lookup."""
    lookups = ("list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix")
    by_user, by_key, by_prefix = map(Totals, lookups)
    for user, group in progress.track(sorted(survey.users), description="users"):
        look_up(by_user, user, group)
    for prefix, job in progress.track(survey.last_jobs.items(), description="prefixes"):
        look_up(by_key, job.key, job.group)
        look_up(by_prefix, prefix, job.group)
    return [by_user, by_key, by_prefix]


def look_up(totals: Totals, argument: int | str, organization: int) -> None:
    began = time.perf_counter()
    found = getattr(module_sdk.tasks, totals.lookup)(argument, organization)
    totals.seconds += time.perf_counter() - began
    if found.error is not None:
        raise found.error
    totals.calls += 1
    totals.rows += len(found)


def main(
    url: Annotated[str, typer.Option(help="The store, for instance sqlite:///replay.db or redis://localhost.")],
    log: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="A log, plain or .gz.")] = SHIPPED_LOG,
    limit: Annotated[
        int | None, typer.Option(min=0, help="The number of jobs to replay, from the start of the log.")
    ] = None,
) -> None:
    """Replay a log in the Standard Workload Format into a store, and look everything up again."""
    console = Console()
    columns = TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    try:
        survey = Survey.of(read_jobs(log, limit))
        with (
            contextlib.closing(module_sdk.open_manager(url)) as manager,
            Progress(*columns, console=console) as progress,
        ):
            module_sdk.configure(manager=manager)
            jobs = progress.track(read_jobs(log, limit), total=survey.jobs, description="replay")
            written = replay(manager, jobs)
            totals = look_up_everything(survey, progress)
            module_sdk.reset()
    except (ValueError, OSError, module_sdk.ModuleSDKError) as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    console.print(f"{written:,} of {survey.jobs:,} jobs written, the others existed")
    table = Table("lookup", "calls", "rows", "milliseconds per call")
    for each in totals:
        milliseconds = 1_000 * each.seconds / max(each.calls, 1)
        table.add_row(each.lookup, f"{each.calls:,}", f"{each.rows:,}", f"{milliseconds:.2f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
