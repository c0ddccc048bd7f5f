"""Outlives pytest by a moment: ends one server and removes its folder once standard input closes, however that happens.

Each line on standard input is the server's current process id; an empty one means that none runs.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

import psutil

PATIENCE_SECONDS: Final = 10


def signal_tree(process: psutil.Process, number: int) -> list[psutil.Process]:
    """Send the signal to the process and all below it: PostgreSQL's backends are in process groups of their own."""
    members: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        # Stopped first, so that it neither starts more children nor reacts to the loss of one.
        process.suspend()
        members = [*process.children(recursive=True), process]
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(number)
    return members


def kill_tree(process: psutil.Process) -> None:
    """SIGKILL, and return when all of them are gone: PostgreSQL does not start while one still holds its memory."""
    members = signal_tree(process, signal.SIGKILL)
    process.wait(PATIENCE_SECONDS)
    # The others are not our children, so what remains of them is another's to collect.
    end = time.monotonic() + PATIENCE_SECONDS
    while any(map(is_alive, members)) and time.monotonic() < end:
        time.sleep(0.005)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_tree(process: psutil.Process) -> None:
    """End a server whose data nobody needs any more."""
    signal_tree(process, signal.SIGCONT)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGQUIT)  # to PostgreSQL: end at once, and free the shared memory
        try:
            process.wait(PATIENCE_SECONDS)
        except psutil.TimeoutExpired:
            kill_tree(process)


def main(folder: str) -> None:
    process_id = ""
    for line in sys.stdin:
        process_id = line.strip()
    with contextlib.suppress(psutil.NoSuchProcess):
        if process_id:
            end_tree(psutil.Process(int(process_id)))
    remove(folder)


def remove(folder: str) -> None:
    """Also while a process that the server had started, such as one that saves its data, still writes there."""
    end = time.monotonic() + PATIENCE_SECONDS
    while Path(folder).exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
