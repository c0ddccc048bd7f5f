"""The memory of a lookup of 100,000 rows, in a new process: `python -m benchmarks.large URL NAMESPACE`."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
from typing import Any, Final

import psutil

from benchmarks.machine import peak_kibibytes
from benchmarks.measure import Figure, figure
from benchmarks.stores import LOAD_SECONDS, RunningStore
from benchmarks.writes import new_key, new_task
from module_sdk.facade.managers import open_manager

ROWS: Final = 100_000
USER: Final = 4_242
ORGANIZATION: Final = 1
MAXIMUM_TIMES: Final = 1.5
LOOKUP_SECONDS: Final = 60


def lookup_memory(store: RunningStore) -> Figure:
    """Return the growth of the process at its peak, over the size of the list that the lookup returns."""
    command = [sys.executable, "-m", "benchmarks.large", store.url, "large"]
    if store.store != "memory":
        load(store.url, "large")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    name = f"a lookup of {ROWS:,} rows: peak of memory over the size of its list"
    return figure(name, found["peak"] / found["list"], "times", at_most=MAXIMUM_TIMES)


def load(url: str, namespace: str, manager: Any = None) -> None:
    rng = random.Random(ROWS)
    own = manager or open_manager(url, namespace=namespace)
    keys = (new_key(rng)[2] for _ in range(ROWS))
    own.import_tasks((new_task(USER, ORGANIZATION, key) for key in keys), timeout_seconds=LOAD_SECONDS)
    if manager is None:
        own.close()


def deep_size(value: Any, seen: set[int]) -> int:
    """Return the bytes of a value and everything in it, each object once."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        size += sum(deep_size(part, seen) for pair in value.items() for part in pair)
    elif isinstance(value, list):
        size += sum(deep_size(part, seen) for part in value)
    return size


def main(url: str, namespace: str) -> None:
    manager = open_manager(url, namespace=namespace)
    if url.startswith("memory:"):
        load(url, namespace, manager)
    manager.list_user_tasks(USER, ORGANIZATION, limit=1_000)
    gc.collect()
    before = psutil.Process().memory_info().rss
    rows = manager.list_user_tasks(USER, ORGANIZATION, timeout_seconds=LOOKUP_SECONDS)
    peak = peak_kibibytes() * 1024
    if len(rows) != ROWS:
        raise SystemExit(f"{len(rows)} rows, expected {ROWS}")
    size = deep_size(rows, set())
    print(json.dumps({"peak": peak - before, "list": size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
