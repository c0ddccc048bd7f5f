"""`module-sdk contract --watch`: when a file is saved, the clauses that failed run again, then all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

STORE = """
from module_sdk.backends import ManagerOptions
from module_sdk_memory.manager import MemoryTaskManager

class Mine(MemoryTaskManager):
    def store_find_by_key(self, organization, key, limit, deadline):
        found = super().store_find_by_key(organization, key, limit, deadline)
        return found{bug}

def open_manager(url, **options):
    return Mine(url, ManagerOptions(**options))
"""
WAIT_SECONDS = 90


def test_after_a_save_the_failed_clauses_run_again_and_then_all(tmp_path: Path) -> None:
    # given a store whose lookup by key returns nothing
    store = tmp_path / "mine.py"
    store.write_text(STORE.format(bug="[:0]"))
    command = [sys.executable, "-m", "module_sdk.cli", "contract", "memory://", "--opener", "mine:open_manager"]
    watching = subprocess.Popen(
        [*command, "-k", "KEY-01,KEY-04,PREFIX-01", "--watch"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(watching.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]  # it is a pipe
    reader.start()
    try:
        wait_for(lines, "waiting for a change", 1)
        first = "".join(lines)

        # when its bug is fixed and the file is saved
        store.write_text(STORE.format(bug=""))

        wait_for(lines, "waiting for a change", 2)
    finally:
        os.killpg(watching.pid, signal.SIGINT)
        watching.wait(WAIT_SECONDS)
        reader.join(WAIT_SECONDS)
        watching.stdout.close()  # type: ignore[union-attr]  # it is a pipe
    second = "".join(lines)[len(first) :]

    # then the failed clauses run, and after them those of the command line
    assert sorted(names_after("failed: ", first)) == ["KEY-01", "KEY-04"]
    assert "failed clauses again" in first
    assert "PREFIX-01" not in second.partition("level:")[0]
    assert "passed: KEY-01, KEY-04, PREFIX-01" in second
    assert "runs all clauses again" in second


def wait_for(lines: list[str], text: str, times: int) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while sum(text in line for line in lines) < times:
        assert time.monotonic() < until, "".join(lines)
        time.sleep(0.05)


def names_after(start: str, report: str) -> list[str]:
    """Return the clauses on the line with that beginning, in the order of the report: the likeliest cause first."""
    (line,) = [line for line in report.splitlines() if line.startswith(start)]
    return line.removeprefix(start).split(", ")
