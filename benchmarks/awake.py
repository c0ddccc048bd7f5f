"""Keeps the cores awake while lookups are timed.

A core with nothing to do sleeps, and waking it takes as long as a whole lookup: on a quiet machine one call of a server
took 60 or 120 µs, by where the system had put the two processes. So a process for each core runs whenever nothing else
wants to. Not while writes are timed: a server would learn that its log is on disk at the next tick of the system only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

# It ends with its parent, however that ends.
SPIN: Final = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextlib.contextmanager
def cores_awake() -> Iterator[None]:
    """Linux alone has processes that never take time from another; elsewhere this does nothing."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
    with contextlib.ExitStack() as stack:
        for _ in range(cores):
            process = subprocess.Popen([sys.executable, "-c", SPIN])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
