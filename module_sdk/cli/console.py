"""Output of the command line: tables, live tables, and plain lines if stdout is not a terminal."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from module_sdk.domain.shapes import TaskRow
from module_sdk.domain.statuses import ACTIVE
from module_sdk.domain.timestamps import parse_time, system_clock

# In a pipe nothing is folded: each task is one line.
PIPE_WIDTH: Final = 10_000
# In a narrower terminal a list shows the id below the key.
WIDE_TERMINAL: Final = 150
# A bar is as wide as the other columns allow, within these widths.
BAR_WIDTHS: Final = range(8, 25)
WIDTH_BESIDE_BAR: Final = 82
STATUS_STYLES: Final = {
    "pending": "dim",
    "running": "cyan",
    "waiting_confirmation": "magenta",
    "completed": "green",
    "failed": "red",
    "interrupted": "yellow",
}


def new_console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


console: Final = new_console()
error_console: Final = new_console(stderr=True)


def printable(value: object) -> str:
    """Return the text with control characters escaped: keys and labels must not control the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))


def say(text: str, style: str = "") -> None:
    console.print(Text(printable(text), style=style))


def say_lines(text: str) -> None:
    """Print the output of another process."""
    for line in text.splitlines():
        say(line)


def complain(text: str) -> None:
    """Print the text as one line on stderr."""
    error_console.print(Text(printable(" ".join(text.split())), style="red"), soft_wrap=True)


def draw(table: RenderableType) -> None:
    console.print(table)


def new_table(*columns: str) -> Table:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    return table


def cell(value: object, style: str = "") -> Text:
    return Text("" if value is None else printable(value), style=style)


def status_cell(status: str) -> Text:
    return Text(status, style=STATUS_STYLES.get(status, ""))


def percent(progress: float) -> str:
    # Rounded down: 99.9% must not be shown as 100%.
    return f"{int(progress * 100)}%"


def name_of(row: TaskRow) -> str:
    return printable(row["task_key"] or row["label"])


def age(time: str) -> str:
    """Return how long ago that time was, in the largest unit that fits: `12 s`, `3 d`."""
    seconds = max(0, (system_clock() - parse_time(time, "time")) // 1_000_000)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def list_table(rows: Sequence[TaskRow]) -> Table:
    """Return a table with a row per task; in a narrow terminal the id is below the key."""
    is_wide = console.width >= WIDE_TERMINAL
    names = ("key or label", "user", "organization", "status", "progress", "changed")
    table = new_table(*(("id", *names) if is_wide else names))
    table.columns[-1].justify = table.columns[-2].justify = "right"
    for row in rows:
        task = cell(name_of(row)) if is_wide else Text.assemble(name_of(row), "\n", (row["id"], "dim"))
        table.add_row(
            *([cell(row["id"])] if is_wide else []),
            task,
            cell(row["user_id"]),
            cell(row["organization_id"]),
            status_cell(row["status"]),
            percent(row["progress"]),
            age(row["updated_at"]),
        )
    return table


def live_table(rows: Iterable[TaskRow]) -> Table:
    table = new_table("task", "user", "organization", "status", "progress", "")
    table.columns[-1].justify = "right"
    width = min(max(console.width - WIDTH_BESIDE_BAR, BAR_WIDTHS[0]), BAR_WIDTHS[-1])
    for row in rows:
        style = STATUS_STYLES[row["status"]]
        bar = ProgressBar(total=1, completed=row["progress"], width=width, complete_style=style, finished_style=style)
        table.add_row(
            cell(name_of(row)),
            cell(row["user_id"]),
            cell(row["organization_id"]),
            status_cell(row["status"]),
            bar,
            percent(row["progress"]),
        )
    return table


def facts_table(facts: Mapping[str, object]) -> Table:
    """Return a table of names and values. A value that is not text is shown as JSON."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        text = value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
        table.add_row(cell(name), status_cell(str(value)) if name == "status" else cell(text))
    return table


def grid(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table of plain values, with numbers aligned to the right."""
    table = new_table(*columns)
    for row in rows:
        for column, value in zip(table.columns, row, strict=True):
            if isinstance(value, int):
                column.justify = "right"
        table.add_row(*(cell(f"{value:,}" if isinstance(value, int) else value) for value in row))
    return table


@contextlib.contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr that disappears at the end. Yield the function that sets how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=error_console, transient=True) as progress:
        bar = progress.add_task(label, total=total)
        yield lambda done: progress.update(bar, completed=done)


class Display(Protocol):
    """A display of tasks that is updated while they change."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def show(self, rows: Sequence[TaskRow]) -> None: ...


class LiveDisplay:
    """A table that is redrawn where it is; other output appears above it."""

    def __init__(self) -> None:
        self.live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.live.stop()

    def show(self, rows: Sequence[TaskRow]) -> None:
        self.live.update(live_table(rows), refresh=True)


class LinesDisplay:
    """A line for each change of a status, where nothing can be redrawn; with `as_json`, for every stored change."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.shown: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shown.clear()

    def show(self, rows: Sequence[TaskRow]) -> None:
        for row in rows:
            version = row["updated_at"] if self.as_json else row["status"]
            if self.shown.get(row["id"]) == version:
                continue
            self.shown[row["id"]] = version
            owner = f"user {row['user_id']} of {row['organization_id']}"
            line = f"{row['status']:<11} {percent(row['progress']):>4}  {row['id']}  {name_of(row)}  {owner}"
            print(json.dumps(row) if self.as_json else printable(line), flush=True)


def new_display(*, as_json: bool = False) -> Display:
    return LiveDisplay() if console.is_terminal and not as_json else LinesDisplay(as_json=as_json)


def all_ended(rows: Iterable[TaskRow]) -> bool:
    return not any(row["status"] in ACTIVE for row in rows)
