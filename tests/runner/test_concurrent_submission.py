"""Many threads of several processes submit the same keys at once (clauses DEDUP-05 to 07)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import module_sdk

KEYS = 200
PROCESSES = 4
THREADS = 8

# Each process submits every key from each of its threads; its work waits until the parent opens the gate.
SUBMITTER = """
import asyncio, sys, threading, time
from pathlib import Path

import module_sdk
from module_sdk import tasks

url, gate, keys, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
module_sdk.configure(url=url, timeout_seconds=60)
found, together = {}, threading.Barrier(threads)

async def work():
    while not gate.exists():
        await asyncio.sleep(0.02)

def submit(number):
    with module_sdk.session(user={"id": number, "organization_id": 3}):
        together.wait()
        for key in range(keys):
            found.setdefault(key, set()).add(tasks.run_background_sync(work(), task_key=f"key.{key}"))

print("ready", flush=True)
sys.stdin.readline()
submitters = [threading.Thread(target=submit, args=(number,)) for number in range(threads)]
for submitter in submitters: submitter.start()
for submitter in submitters: submitter.join()
assert all(len(ids) == 1 for ids in found.values())
print(*(found[key].pop() for key in range(keys)), flush=True)
sys.stdin.readline()
"""


def test_exactly_one_task_per_key_exists(tmp_path: Path) -> None:
    # given four processes, each with eight threads, on one SQLite file
    url, gate = f"sqlite:///{tmp_path / 'tasks.db'}", tmp_path / "gate"
    command = [sys.executable, "-c", SUBMITTER, url, str(gate), str(KEYS), str(THREADS)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    # when all submit the same keys concurrently, and no work ends before every submission has returned
    answers = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        answers.append(process.stdout.readline().split())
    gate.touch()
    for process in processes:
        process.communicate("end\n", timeout=60)

    # then every thread got the same 200 tasks, no other task exists, and each task has completed
    assert [process.returncode for process in processes] == [0] * PROCESSES
    assert answers == [answers[0]] * PROCESSES
    assert len(set(answers[0])) == KEYS
    manager = module_sdk.open_manager(url)
    rows = manager.get_tasks_by_key_prefix("key.", 3)
    assert {row["id"] for row in rows} == set(answers[0])
    assert manager.count() == KEYS
    assert {row["status"] for row in rows} == {"completed"}
    manager.close()
