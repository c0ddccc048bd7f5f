"""`module-sdk demo` as users run it: to its end, killed in the middle, stopped, and at the same time as another one."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from module_sdk.cli.demo import KEY_PREFIX, LIBRARY, ORGANIZATIONS, PACKAGES, USERS
from module_sdk.cli.interrupt import BY_OPERATOR
from module_sdk.domain.task import Task
from tests.support.command_line import SECONDS, CommandLine

SHOWN = re.compile(r"^\w+ +\d+%  (\S+)  (\S+)", re.MULTILINE)
FOUND = re.compile(r" (user|prefix|key) +(\S+) +(\S+) +(\d+) +(\d+) +(\d+)\b")


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def stored(command_line: CommandLine) -> dict[str, Task]:
    """Return every task of the store by id, after a check that no id occurs twice."""
    manager = command_line.default_manager()
    ids = [row["id"] for row in manager.page(limit=1_000)]
    assert len(set(ids)) == len(ids) == manager.count()
    tasks = {task_id: manager.get(task_id) for task_id in ids}
    manager.close()
    return {task_id: task for task_id, task in tasks.items() if task is not None}


def lines_until(running: subprocess.Popen[str], word: str) -> list[str]:
    """Return the output of a demo up to the first line that begins with the word."""
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if line.startswith(word):
            return lines
    raise AssertionError(f"the demo ended before it printed {word!r}: {''.join(lines)}")


def shown(text: str) -> dict[str, str]:
    """Return the keys of the tasks that a demo printed, by id."""
    return dict(SHOWN.findall(text))


def test_it_does_real_work_which_a_second_process_finds(command_line: CommandLine) -> None:
    out = command_line.succeed("demo")

    # Every package was compressed: the results are those of the plain sources.
    tasks = stored(command_line)
    assert {task_id: task.task_key for task_id, task in tasks.items()} == shown(out)
    assert len(tasks) == len(PACKAGES)
    for task in tasks.values():
        package = str(task.task_key).removeprefix(KEY_PREFIX)
        sources = [module.read_bytes() for module in sorted((LIBRARY / package).rglob("*.py"))]
        assert (task.status, task.progress, task.error) == ("completed", 1.0, None)
        assert task.result == task.checkpoint
        assert task.result["sha256"] == hashlib.sha256(b"".join(sources)).hexdigest()
        assert task.result["modules"] == len(sources)
        assert task.result["bytes_before"] == sum(map(len, sources)) > task.result["bytes_after"] > 0
    assert {(task.user_id, task.organization_id) for task in tasks.values()} == set(USERS)

    # The second process looked while some tasks had ended and others had not. It found each in its organization.
    found = {(by, value, one): list(map(int, counts)) for by, value, one, *counts in FOUND.findall(out)}
    both = [found["prefix", KEY_PREFIX, one] for one in ORGANIZATIONS]
    assert [total for total, _, _ in both] == [
        sum(task.organization_id == one for task in tasks.values()) for one in ORGANIZATIONS
    ]
    assert sum(active for _, active, _ in both) > 0
    assert sum(ended for _, _, ended in both) > 0
    for user, organization in USERS:
        assert found["user", user, organization][0] == sum(task.user_id == user for task in tasks.values())
    assert [counts[0] for (by, _, _), counts in found.items() if by == "key"] == [1, 0]

    # The double click returned the same id, and no key has a second task.
    clicked = re.search(r"double click on (\S+): (\S+) again, nothing started twice", out)
    assert clicked is not None
    assert tasks[clicked[2]].task_key == clicked[1]
    assert len({task.task_key for task in tasks.values()}) == len(tasks)


def test_after_a_kill_no_task_is_lost_and_the_next_demo_completes(command_line: CommandLine) -> None:
    with command_line.start("demo") as killed:
        before = "".join(lines_until(killed, "completed"))
        killed.send_signal(signal.SIGKILL)
        killed.wait(SECONDS)
    printed = shown(before)
    left = stored(command_line)

    # Every task that was shown is there, none twice, and some are still recorded as active.
    assert printed.items() <= {task_id: task.task_key for task_id, task in left.items()}.items()
    active = {task_id for task_id, task in left.items() if task.is_active}
    assert active

    out = command_line.succeed("demo")

    assert f"{len(active)} tasks freed" in out
    after = stored(command_line)
    assert set(after) == set(left) | set(shown(out))
    assert {after[task_id].status for task_id in shown(out)} == {"completed"}
    assert {after[task_id].error for task_id in active} == {BY_OPERATOR}
    assert all(after[task_id] == left[task_id] for task_id in set(left) - active)


def test_a_demo_stopped_by_its_host_leaves_no_task_active(command_line: CommandLine) -> None:
    with command_line.start("demo") as stopped:
        before = "".join(lines_until(stopped, "completed"))
        stopped.send_signal(signal.SIGTERM)
        _, errors = stopped.communicate(timeout=SECONDS)

    assert stopped.returncode == 130
    assert errors == "stopped: tasks that were still running are recorded as interrupted\n"
    tasks = stored(command_line)
    assert set(tasks) >= set(shown(before))
    assert {task.status for task in tasks.values()} == {"completed", "interrupted"}


def test_a_running_demo_is_left_alone(command_line: CommandLine) -> None:
    with command_line.start("demo") as first:
        started = shown("".join(lines_until(first, "running")))
        second = command_line.start("demo")
        before = "".join(lines_until(second, "It is: its packages are left to it."))
        for demo in (first, second):
            demo.send_signal(signal.SIGINT)
        after, _ = second.communicate(timeout=SECONDS)
        first.communicate(timeout=SECONDS)

    # A fast machine has finished the first demo before the second decides.
    assert first.returncode in (0, 130)
    assert "freed" not in before + after
    tasks = stored(command_line)
    assert BY_OPERATOR not in {tasks[task_id].error for task_id in started}


def test_a_user_at_a_terminal_is_asked_and_may_refuse(command_line: CommandLine) -> None:
    package = PACKAGES[0]
    user, organization = USERS[0]
    manager = command_line.default_manager()
    key = f"{KEY_PREFIX}{package}"
    orphaned, _ = manager.create(Task.new(user_id=user, organization_id=organization, module="demo", task_key=key))
    terminal, other_end = pty.openpty()

    asked = command_line.start("demo", stdin=other_end)
    os.write(terminal, b"n\n")
    out, errors = asked.communicate(timeout=SECONDS)
    os.close(other_end)
    os.close(terminal)

    assert (asked.returncode, errors) == (0, "")
    assert "Free them" in out
    assert key not in shown(out).values()
    assert len(shown(out)) == len(PACKAGES) - 1
    assert manager.get(orphaned.id) == orphaned
    manager.close()


def test_the_second_process_uses_the_store_of_the_first(command_line: CommandLine) -> None:
    out = command_line.succeed("--url", "sqlite:///own.db", "--namespace", "shop", "demo")

    found = {(by, organization): int(tasks) for by, _, organization, tasks, _, _ in FOUND.findall(out)}
    assert found["prefix", ORGANIZATIONS[0]] > 0
    assert not command_line.default_file.exists()


def test_the_table_is_live_on_a_terminal_and_a_store_in_memory_suffices(command_line: CommandLine) -> None:
    terminal, other_end = pty.openpty()

    running = command_line.start("--url", "memory://", "demo", stdout=other_end)
    os.close(other_end)
    drawn = b""
    while True:
        try:
            drawn += os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            break
    _, errors = running.communicate(timeout=SECONDS)
    os.close(terminal)

    assert (running.returncode, errors) == (0, "")
    text = drawn.decode()
    assert "━" in text
    assert "pending" in text
    # The table was redrawn: the cursor moved up.
    assert re.search(r"\x1b\[\d*A", text)
    assert "this store lives in one process" in text
    assert not command_line.default_file.exists()
