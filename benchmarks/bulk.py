"""Imports: their speed compared with the reference's bulk load, and the memory of a large one.

`python -m benchmarks.bulk URL NAMESPACE TASKS` imports that many tasks and prints the peak memory of its process.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.machine import peak_kibibytes
from benchmarks.measure import Figure, figure
from benchmarks.stores import LOAD_SECONDS, Filled, RunningStore
from benchmarks.writes import new_key, new_task
from module_sdk.domain.task import Task
from module_sdk.facade.managers import open_manager

CHUNK: Final = 5_000
CHUNKS: Final = 6
SPEED_TIMES: Final = 0.5
GROWTH_MEBIBYTES: Final = 16.0
"""The peak may grow by this much after the first tenth, for bounded caches and the allocator."""


def import_speed(filled: Filled) -> Figure:
    """Import chunks of new tasks into the tables of the data set, by the manager and by the reference in turn."""
    rng = random.Random(filled.size)
    seconds = {"facade": 0.0, "reference": 0.0}
    for name in list(seconds) * CHUNKS:
        tasks = [new_task(*new_key(rng)) for _ in range(CHUNK)]
        records = [task.to_record() for task in tasks]
        began = time.perf_counter()
        if name == "facade":
            filled.manager.import_tasks(tasks, timeout_seconds=LOAD_SECONDS)
        else:
            filled.reference.load(records)
        seconds[name] += time.perf_counter() - began
    name = f"import into {filled.size:,} tasks: speed over the reference's"
    return figure(name, seconds["reference"] / seconds["facade"], "times", at_least=SPEED_TIMES)


def import_memory(store: RunningStore, size: int) -> Figure:
    """Import in a new process, so that its peak is that of the import."""
    command = [sys.executable, "-m", "benchmarks.bulk", store.url, f"bulk{size}", str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peaks = json.loads(done.stdout)
    name = f"import of {size:,} tasks: growth of the peak of memory after the first tenth"
    return figure(name, (peaks["end"] - peaks["tenth"]) / 1024, "MiB", at_most=GROWTH_MEBIBYTES)


def stream(size: int, peaks: dict[str, float]) -> Iterator[Task]:
    rng = random.Random(size)
    for number in range(size):
        if number == size // 10:
            peaks["tenth"] = peak_kibibytes()
        yield new_task(*new_key(rng))


def main(url: str, namespace: str, size: int) -> None:
    peaks: dict[str, float] = {}
    manager = open_manager(url, namespace=namespace)
    manager.import_tasks(stream(size, peaks), timeout_seconds=LOAD_SECONDS)
    peaks["end"] = peak_kibibytes()
    manager.close()
    print(json.dumps(peaks))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
