"""A process that ends one server and removes its folder when its standard input closes, even if pytest was killed.

Each line on standard input is the server's current process id; an empty line means that the server is not running.
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

MAXIMUM_WAIT_SECONDS: Final = 10


def signal_tree(process: psutil.Process, number: int) -> list[psutil.Process]:
    """Send the signal to the process and its descendants, and return them.

    A signal to the process group is not enough: PostgreSQL's backends are in process groups of their own.
    """
    members: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        # The process must not start more children or react to the loss of one meanwhile.
        process.suspend()
        members = [*process.children(recursive=True), process]
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(number)
    return members


def kill_tree(process: psutil.Process) -> None:
    """Kill the process and its descendants, and wait until all have ended.

    PostgreSQL does not start while a process of its predecessor still has the shared memory.
    """
    members = signal_tree(process, signal.SIGKILL)
    process.wait(MAXIMUM_WAIT_SECONDS)
    # The descendants are not our children, so they cannot be waited for, and another process reaps them.
    end = time.monotonic() + MAXIMUM_WAIT_SECONDS
    while any(map(is_alive, members)) and time.monotonic() < end:
        time.sleep(0.005)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_tree(process: psutil.Process) -> None:
    """End a server whose data is no longer needed."""
    signal_tree(process, signal.SIGCONT)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGQUIT)  # PostgreSQL ends at once and frees its shared memory
        try:
            process.wait(MAXIMUM_WAIT_SECONDS)
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
    """Remove the folder, even while a child of the server, such as one that saves its data, still writes to it."""
    end = time.monotonic() + MAXIMUM_WAIT_SECONDS
    while Path(folder).exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
