"""Other processes that run tasks on the store of a test."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

from module_sdk.store.manager import TaskManager

PREAMBLE = """
import asyncio, sys, threading, time
import module_sdk
from module_sdk import tasks

module_sdk.configure(url=sys.argv[1])
session = module_sdk.session(user={"id": 7, "organization_id": 3})
session.__enter__()
begun = threading.Event()

async def coroutine(seconds):
    begun.set()
    await asyncio.sleep(seconds)
    return "done"

@tasks.register("function")
def function(seconds):
    begun.set()
    time.sleep(seconds)
    return "done"

def submit(form, seconds):
    work = {"work": coroutine(seconds)} if form == "coroutine" else {"work": "function", "seconds": seconds}
    print(tasks.run_background_sync(work.pop("work"), **work), flush=True)
    assert begun.wait(10)
"""


def start(manager: TaskManager, code: str) -> subprocess.Popen[str]:
    """Start a process that runs the code, which may call `submit(form, seconds)`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PREAMBLE + textwrap.dedent(code), manager.url.text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[list[str], str, float]:
    """Wait for the end of the process; return the ids that it printed, its stderr and the seconds that it took."""
    began = time.monotonic()
    output, errors = process.communicate(timeout=60)
    return output.split(), errors, time.monotonic() - began
