"""Four processes of eight threads submit the same 200 keys to one SQLite file at once (clauses DEDUP-05, 06)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import module_sdk

PROCESSES: Final = 4
KEYS: Final = 200
SECONDS: Final = 90

SUBMITTER: Final = f"""
import sys, threading
import module_sdk
from module_sdk import tasks

gate = threading.Event()

@tasks.register("wait")
def wait_at_gate():
    gate.wait({SECONDS})

module_sdk.configure(url=sys.argv[1], max_running_tasks={KEYS}, timeout_seconds={SECONDS})

def submit():
    with module_sdk.session(user={{"id": 7, "organization_id": 3}}):
        for number in range({KEYS}):
            tasks.run_background_sync("wait", task_key=f"job.{{number}}")

print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=submit) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("submitted", flush=True)
sys.stdin.readline()
gate.set()
module_sdk.shutdown({SECONDS})
"""


def test_exactly_one_task_a_key(tmp_path: Path) -> None:
    # given processes that are ready to submit to one store
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", SUBMITTER, url]
    processes = [subprocess.Popen(command, **pipes) for _ in range(PROCESSES)]  # type: ignore[call-overload]

    # when all submit at once, and no task ends before all submissions have returned
    for said in ("ready\n", "submitted\n"):
        assert [process.stdout.readline() for process in processes] == [said] * PROCESSES
        for process in processes:
            process.stdin.write("on\n")
            process.stdin.flush()
    for process in processes:
        process.communicate(timeout=SECONDS)

    # then there is one task a key, and each has ended well
    module_sdk.configure(url=url)
    rows = module_sdk.tasks.list_user_tasks(7, 3)
    assert sorted(row["task_key"] for row in rows) == sorted(f"job.{number}" for number in range(KEYS))
    assert {row["status"] for row in rows} == {"completed"}
