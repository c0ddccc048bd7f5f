"""`module-sdk tasks …`: every command of an operator, run in a new process."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from module_sdk.domain.shapes import TaskStatus
from module_sdk.domain.task import Task
from module_sdk.errors import IllegalTransitionError
from module_sdk.store.manager import TaskManager
from tests.support.command_line import SECONDS, CommandLine

UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def manager(command_line: CommandLine) -> Iterator[TaskManager]:
    """Yield the store of the commands, opened in this process too."""
    opened = command_line.default_manager()
    yield opened
    opened.close()


def submit(manager: TaskManager, *moves: TaskStatus, **fields: Any) -> str:
    values: dict[str, Any] = {"user_id": 7, "organization_id": 3, "module": "tests"} | fields
    task = Task.new(**values)
    manager.create(task)
    for status in moves:
        manager.update(task.id, status=status)
    return task.id


def status_of(manager: TaskManager, task_id: str) -> str:
    task = manager.get(task_id)
    assert task is not None
    return task.status


# --- list and show --------------------------------------------------------------------------------------------------


def test_list_applies_each_filter(command_line: CommandLine, manager: TaskManager) -> None:
    ids = {
        "a": submit(manager, "running", task_key="reports.q1", module="reports"),
        "b": submit(manager, "running", "completed", task_key="reports.q2", module="reports"),
        "c": submit(manager, user_id="007", task_key="Reports.q1"),
        "d": submit(manager, organization_id=None, task_key="reports.q1"),
        "e": submit(manager, organization_id=4),
    }

    def found(*options: str) -> set[str]:
        rows = command_line.read("tasks", "list", *options)["rows"]
        return {name for name, task_id in ids.items() if task_id in {row["id"] for row in rows}}

    assert found() == set("abcde")
    assert found("--user", "7") == set("abde")
    assert found("--user", "007") == set("c")
    assert found("--organization", "3") == set("abc")
    assert found("--no-organization") == set("d")
    assert found("--status", "running", "--status", "completed") == set("ab")
    assert found("--key", "reports.q1") == set("ad")
    assert found("--prefix", "reports.") == set("abd")
    assert found("--module", "reports", "--status", "running") == set("a")
    assert found("--user", "nobody") == set()


def test_list_pages_and_sorts(command_line: CommandLine, manager: TaskManager) -> None:
    ids = [submit(manager, label=f"task {number}") for number in range(5)]

    first = command_line.read("tasks", "list", "--sort", "created_at", "--limit", "2")
    last = command_line.read("tasks", "list", "--sort", "created_at", "--limit", "2", "--page", "2")
    text = command_line.succeed("tasks", "list", "--limit", "2")

    assert [row["id"] for row in first["rows"]] == ids[:2]
    assert [row["id"] for row in last["rows"]] == ids[4:]
    assert first["total_rows"] == 5
    assert ids[4] in text
    assert ids[0] not in text
    assert text.endswith("2 of 5 tasks\n")


def test_in_a_pipe_a_task_is_one_whole_line(command_line: CommandLine, manager: TaskManager) -> None:
    task_id = submit(manager, task_key="k" * 1_000)

    lines = [line for line in command_line.succeed("tasks", "list").splitlines() if task_id in line]

    assert len(lines) == 1
    assert "k" * 1_000 in lines[0]


def test_an_unreadable_task_is_reported_and_hides_no_other(command_line: CommandLine, manager: TaskManager) -> None:
    broken, whole = submit(manager), submit(manager)
    with contextlib.closing(sqlite3.connect(command_line.default_file)) as connection, connection:
        connection.execute("UPDATE module_sdk__tasks SET status = 'lost' WHERE id = ?", [broken])

    done = command_line.run("tasks", "list")

    assert done.returncode == 0
    assert whole in done.stdout
    assert done.stderr == f"error: skipped the unreadable task {broken}: 'lost' is not a status\n"


def test_labels_cannot_control_the_terminal(command_line: CommandLine, manager: TaskManager) -> None:
    task_id = submit(manager, label="red \x1b[31m [bold]x[/bold]\n\x9b2J")

    listed = command_line.succeed("tasks", "list")
    shown = command_line.succeed("tasks", "show", task_id)

    for out in (listed, shown):
        assert "red \\x1b[31m [bold]x[/bold]\\n\\x9b2J" in out


def test_show_prints_the_whole_task(command_line: CommandLine, manager: TaskManager) -> None:
    task_id = submit(manager, "running", task_key="reports.q1")
    manager.update(task_id, progress=0.5, checkpoint={"page": 7})
    manager.update(task_id, status="failed", error="ValueError: no page 8")
    stored = manager.get(task_id)
    assert stored is not None

    view = command_line.read("tasks", "show", task_id)
    text = command_line.succeed("tasks", "show", task_id)

    assert view == stored.to_view()
    for words in (task_id, "reports.q1", "failed", "ValueError: no page 8", '{"page": 7}'):
        assert words in text


# --- watch ----------------------------------------------------------------------------------------------------------


def test_watch_follows_until_all_have_ended(command_line: CommandLine, manager: TaskManager) -> None:
    first = submit(manager, "running", task_key="w.1")
    second = submit(manager, "running", task_key="w.2")
    submit(manager, "running", task_key="other")

    with command_line.start("tasks", "watch", "--prefix", "w.", "--status", "running", "--json") as watching:
        assert watching.stdout is not None
        seen = [json.loads(watching.stdout.readline()) for _ in range(2)]
        manager.update(first, status="completed")
        seen.append(json.loads(watching.stdout.readline()))
        manager.update(second, status="failed", error="Error: x")
        seen.append(json.loads(watching.stdout.readline()))
        rest, errors = watching.communicate(timeout=SECONDS)

    assert {row["id"] for row in seen[:2]} == {first, second}
    assert [(row["id"], row["status"]) for row in seen[2:]] == [(first, "completed"), (second, "failed")]
    assert (rest, errors, watching.returncode) == ("", "", 0)


def test_watch_on_a_terminal_draws_a_table(command_line: CommandLine, manager: TaskManager) -> None:
    task_id = submit(manager, "running", "completed", task_key="w.1")
    terminal, other_end = pty.openpty()

    watching = command_line.start("tasks", "watch", task_id, stdout=other_end)
    _, errors = watching.communicate(timeout=SECONDS)
    os.close(other_end)
    drawn = os.read(terminal, 65_536).decode()
    os.close(terminal)

    assert (watching.returncode, errors) == (0, "")
    assert "w.1" in drawn
    assert "━" in drawn
    assert "1 task, all ended" in drawn


def test_watch_ends_at_once_if_no_task_matches(command_line: CommandLine) -> None:
    assert command_line.succeed("tasks", "watch", "--user", "nobody") == "no such tasks\n"


def test_interrupting_watch_leaves_the_work_alone(command_line: CommandLine, manager: TaskManager) -> None:
    task_id = submit(manager, "running")

    with command_line.start("tasks", "watch", task_id) as watching:
        assert watching.stdout is not None
        assert task_id in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=SECONDS)

    assert watching.returncode == 130
    assert "Traceback" not in errors
    assert status_of(manager, task_id) == "running"


# --- interrupt ------------------------------------------------------------------------------------------------------


def test_interrupt_frees_the_key_of_a_dead_process(command_line: CommandLine, manager: TaskManager) -> None:
    orphaned = submit(manager, "running", task_key="held")
    ended = submit(manager, "running", "completed")

    done = command_line.read("tasks", "interrupt", orphaned, ended)

    assert done == {"interrupted": [orphaned], "ended_before": [ended], "unknown": []}
    task = manager.get(orphaned)
    assert task is not None
    assert (task.status, task.error) == ("interrupted", "interrupted by an operator")
    assert status_of(manager, submit(manager, task_key="held")) == "pending"
    with pytest.raises(IllegalTransitionError):
        manager.update(orphaned, progress=1.0)


def test_interrupt_reports_ids_that_do_not_exist(command_line: CommandLine, manager: TaskManager) -> None:
    task_id = submit(manager)

    line = command_line.fail("tasks", "interrupt", UNKNOWN_ID, task_id)

    assert line == f"error: there is no task {UNKNOWN_ID}\n"
    assert status_of(manager, task_id) == "interrupted"


def test_interrupt_all_active_interrupts_every_active_task(command_line: CommandLine, manager: TaskManager) -> None:
    active = [
        submit(manager, organization_id=None),
        submit(manager, "running", organization_id="other"),
        submit(manager, "running", "waiting_confirmation"),
    ]
    completed = submit(manager, "running", "completed")

    out = command_line.succeed("tasks", "interrupt", "--all-active", "--yes")

    assert out == "3 tasks interrupted\n"
    assert {status_of(manager, task_id) for task_id in active} == {"interrupted"}
    assert status_of(manager, completed) == "completed"


def test_interrupt_all_active_with_filters_interrupts_only_the_selection(
    command_line: CommandLine, manager: TaskManager
) -> None:
    chosen = submit(manager, task_key="demo.1")
    others = [submit(manager, task_key="demo"), submit(manager, task_key="demo.1", organization_id=4), submit(manager)]

    options = ("--prefix", "demo.", "--organization", "3", "--yes")
    done = command_line.read("tasks", "interrupt", "--all-active", *options)

    assert done["interrupted"] == [chosen]
    assert {status_of(manager, task_id) for task_id in others} == {"pending"}


def test_interrupt_all_active_asks_first(command_line: CommandLine, manager: TaskManager) -> None:
    task_id = submit(manager)
    terminal, other_end = pty.openpty()

    assert "--yes" in command_line.fail("tasks", "interrupt", "--all-active")
    asked = command_line.start("tasks", "interrupt", "--all-active", stdin=other_end)
    os.write(terminal, b"n\n")
    refused, _ = asked.communicate(timeout=SECONDS)
    os.close(other_end)
    os.close(terminal)

    assert (asked.returncode, refused.strip()) == (1, "")
    assert status_of(manager, task_id) == "pending"


@pytest.mark.parametrize("arguments", [[], [UNKNOWN_ID, "--all-active"], [UNKNOWN_ID, "--user", "7"], ["--user", "7"]])
def test_interrupt_requires_either_ids_or_all_active(command_line: CommandLine, arguments: list[str]) -> None:
    assert "pass ids, or --all-active" in command_line.fail("tasks", "interrupt", *arguments)


# --- prune ----------------------------------------------------------------------------------------------------------


def test_prune_removes_tasks_that_ended_long_ago(command_line: CommandLine, manager: TaskManager) -> None:
    def imported(days: int, **fields: Any) -> str:
        now = manager.clock() - days * 86_400_000_000
        task = Task.new(user_id=7, organization_id=3, module="tests", now=now)
        manager.import_tasks([Task.from_dict(task.to_dict() | {"status": "completed", "progress": 1.0} | fields)])
        return task.id

    old = imported(8)
    kept = {
        imported(6),
        imported(8, organization_id=4),
        imported(8, organization_id=None),
        imported(8, user_id=8),
        imported(8, status="running"),
    }

    removed = command_line.read("tasks", "prune", "--older-than", "7d", "--organization", "3", "--user", "7")

    assert removed == {"removed": 1}
    assert {row["id"] for row in manager.page()} == kept
    assert manager.get(old) is None
    assert command_line.succeed("tasks", "prune", "--older-than", f"{'9' * 400}s") == "0 tasks removed\n"
    assert command_line.succeed("tasks", "prune", "--older-than", "1w", "--no-organization") == "1 task removed\n"
    assert command_line.succeed("tasks", "prune", "--older-than", "1.5h") == "3 tasks removed\n"
    assert [row["status"] for row in manager.page()] == ["running"]


def test_prune_shows_its_progress_on_a_terminal(command_line: CommandLine, manager: TaskManager) -> None:
    submit(manager, "running", "completed")
    terminal, other_end = pty.openpty()

    pruning = command_line.start("tasks", "prune", "--older-than", "0s", stderr=other_end)
    out, _ = pruning.communicate(timeout=SECONDS)
    os.close(other_end)
    drawn = os.read(terminal, 65_536).decode()
    os.close(terminal)

    assert (pruning.returncode, out) == (0, "1 task removed\n")
    assert "removing" in drawn
    assert "1/1" in drawn


def test_a_closed_pipe_prints_no_traceback(command_line: CommandLine, manager: TaskManager) -> None:
    for number in range(50):
        submit(manager, label="x" * 1_000, task_key=f"k.{number}")

    with command_line.start("tasks", "list", "--limit", "50", "--json") as listing:
        assert listing.stdout is not None
        listing.stdout.close()
        assert listing.stderr is not None
        errors = listing.stderr.read()
        listing.wait(SECONDS)

    assert "Traceback" not in errors


def test_an_output_that_cannot_be_written_is_reported_in_one_line(command_line: CommandLine) -> None:
    with Path("/dev/full").open("w") as full, command_line.start("tasks", "list", stdout=full) as listing:
        _, errors = listing.communicate(timeout=SECONDS)

    assert listing.returncode == 1
    assert errors == "error: the output cannot be written: [Errno 28] No space left on device\n"
