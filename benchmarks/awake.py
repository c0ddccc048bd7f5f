"""Processes that keep the cores awake while lookups are timed.

An idle core sleeps, and waking it takes as long as a whole lookup: on a quiet machine one call to a server took 60 or
120 µs, depending on the cores on which the system had put the two processes. So one process per core runs whenever the
core would be idle. It must not run while writes are timed: a server would then notice only at the next tick of the
scheduler that its log is on disk.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

# It ends with its parent, even if the parent is killed.
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
    """Keep every core busy at idle priority. Only Linux has it, so elsewhere this does nothing."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
    with contextlib.ExitStack() as stack:
        for _ in range(cores):
            process = subprocess.Popen([sys.executable, "-c", SPIN])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
