"""The start of a new process: the import, and the first lookup."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.measure import Figure, figure
from module_sdk.domain.task import Task
from module_sdk.facade.managers import open_manager

RUNS: Final = 20
IMPORT_MILLISECONDS: Final = 15.0
FIRST_LOOKUP_TIMES: Final = 1.3

BARE: Final = "pass"
IMPORT: Final = "import module_sdk"
FACADE: Final = "from module_sdk import tasks"
LOOKUP: Final = """
import module_sdk
module_sdk.configure(url={url!r})
assert len(module_sdk.tasks.list_user_tasks(7, 3)) == 1
"""
SELECT: Final = """
import sqlalchemy
engine = sqlalchemy.create_engine({url!r})
with engine.connect() as connection:
    statement = sqlalchemy.text("SELECT * FROM module_sdk__tasks WHERE organization_id = '3' AND user_id = '7'")
    assert len(connection.execute(statement).fetchall()) == 1
"""


def process_figures(runs: int = RUNS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="module-sdk-benchmark-") as folder:
        url = f"sqlite:///{Path(folder, 'tasks.db')}"
        create_task(url)
        programs = {"bare": BARE, "import": IMPORT, "facade": FACADE}
        programs |= {"lookup": LOOKUP.format(url=url), "select": SELECT.format(url=url)}
        seconds = run_interleaved(programs, runs, folder)
    bare, imported, facade, lookup, select = (statistics.median(seconds[name]) for name in programs)
    return [
        figure("import module_sdk over bare Python", (imported - bare) * 1_000, "ms", at_most=IMPORT_MILLISECONDS),
        figure("from module_sdk import tasks, over bare Python", (facade - bare) * 1_000, "ms"),
        figure("bare Python", bare * 1_000, "ms"),
        figure("a new process to its first lookup on SQLite", lookup * 1_000, "ms"),
        figure("a new process to its first SELECT with SQLAlchemy", select * 1_000, "ms"),
        figure("first lookup over first SELECT", lookup / select, "times", at_most=FIRST_LOOKUP_TIMES),
    ]


def create_task(url: str) -> None:
    manager = open_manager(url)
    manager.create(Task.new(user_id=7, organization_id=3, module="m"))
    manager.close()


def run_interleaved(programs: dict[str, str], runs: int, folder: str) -> dict[str, list[float]]:
    """Return the seconds of each run of each program. The first run of each warms the caches and is not included."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    rng = random.Random(runs)
    # Let Python write compiled modules, as it does for an installed package, even if this environment forbids it.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(Path(folder, "compiled"))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for _ in range(runs + 1):
        for name in rng.sample(list(programs), len(programs)):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", programs[name]], check=True, cwd=folder, env=environment)
            seconds[name].append(time.perf_counter() - began)
    return {name: taken[1:] for name, taken in seconds.items()}
