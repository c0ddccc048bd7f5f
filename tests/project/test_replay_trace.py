"""Lookups return every job of the replayed log, as the rows that plain Python reads from the log."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

import module_sdk
from examples.replay_trace import SHIPPED_LOG, read_jobs, replay
from tests.support.environments import ROOT

# The fixture with the URL of a server is named `<store>_url` (tests/support/fixtures.py).
STORES: Final = ["memory", "sqlite", "postgresql", "mariadb", "valkey", "mongodb"]

Row = dict[str, Any]


def find_log() -> Path:
    """Return the whole log if it is available, else the shipped one, which has the first 2,000 jobs."""
    named = os.environ.get("MODULE_SDK_TRACE")
    whole = Path(named) if named else ROOT.parent / "shared" / "data" / "NASA-iPSC-1993-3.1-cln.swf.gz"
    return whole if named or whole.exists() else SHIPPED_LOG


def expected_rows(log: Path) -> list[Row]:
    """Return the row of every job, newest first, ties by id descending. Must not use the SDK."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "https://www.cs.huji.ac.il/labs/parallel/workload/")
    rows = []
    for line in gzip.decompress(log.read_bytes()).decode().splitlines():
        if line.startswith("; UnixStartTime:"):
            log_start = int(line.split(":")[1])
        if not line.startswith(";"):
            column = line.split()
            created = datetime.fromtimestamp(log_start + int(column[1]), UTC)
            ended = created + timedelta(seconds=max(int(column[2]), 0) + max(int(column[3]), 0))
            row = {
                "id": str(uuid.uuid5(namespace, f"{log_start} {column[0]}")),
                "module": "hpc",
                "label": f"Job {column[0]}",
                "status": "completed",
                "progress": 1.0,
                "task_key": f"hpc.{column[12]}.{column[13]}.{column[0]}",
                "user_id": int(column[11]),
                "organization_id": int(column[12]),
                "created_at": created.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00"),
                "updated_at": ended.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00"),
            }
            rows.append(row)
    return sorted(rows, key=lambda row: (row["created_at"], row["id"]), reverse=True)


def grouped(rows: list[Row], group: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[group(row)].append(row)
    return groups


@pytest.fixture(scope="module")
def log() -> Path:
    return find_log()


@pytest.fixture(scope="module")
def rows(log: Path) -> list[Row]:
    return expected_rows(log)


@pytest.fixture(scope="module", params=STORES)
def replayed(
    request: pytest.FixtureRequest, log: Path, rows: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[module_sdk.TaskManager]:
    """Yield a store into which the log has been replayed."""
    embedded = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path_factory.mktemp('replay')}/tasks.db"}
    url = embedded.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    manager = module_sdk.open_manager(url, namespace="replay")
    assert replay(manager, read_jobs(log)) == len(rows)
    yield manager
    manager.close()


@pytest.fixture
def manager(replayed: module_sdk.TaskManager) -> module_sdk.TaskManager:
    """Return that store after configuring it for the facade."""
    module_sdk.configure(manager=replayed, lookup_timeout_seconds=60)
    return replayed


def answer(found: module_sdk.tasks.LookupResult) -> list[Row]:
    assert found.error is None
    assert found.skipped == 0
    return [{**row} for row in found]


def test_every_user_has_their_jobs(manager: module_sdk.TaskManager, rows: list[Row]) -> None:
    by_user = grouped(rows, lambda row: (row["user_id"], row["organization_id"]))
    for (user, organization), expected in by_user.items():
        assert answer(module_sdk.tasks.list_user_tasks(user, organization)) == expected


def by_prefix(rows: list[Row]) -> dict[Any, list[Row]]:
    return grouped(rows, lambda row: (row["task_key"].rpartition(".")[0] + ".", row["organization_id"]))


def test_every_prefix_has_its_jobs(manager: module_sdk.TaskManager, rows: list[Row]) -> None:
    for (prefix, organization), expected in by_prefix(rows).items():
        assert answer(module_sdk.tasks.get_tasks_by_key_prefix(prefix, organization)) == expected


def test_a_prefix_may_end_within_a_segment(manager: module_sdk.TaskManager, rows: list[Row]) -> None:
    for prefix in ("hpc.1.1", "hpc.1.-", "hpc.1", "hpc.", ""):
        expected = [row for row in rows if row["organization_id"] == 1 and row["task_key"].startswith(prefix)]
        assert answer(module_sdk.tasks.get_tasks_by_key_prefix(prefix, 1)) == expected


def test_the_newest_and_oldest_key_of_every_prefix_have_their_job(
    manager: module_sdk.TaskManager, rows: list[Row]
) -> None:
    for jobs in by_prefix(rows).values():
        for row in (jobs[0], jobs[-1]):
            assert answer(module_sdk.tasks.get_tasks_by_key(row["task_key"], row["organization_id"])) == [row]


def test_no_job_is_found_from_outside_its_group(manager: module_sdk.TaskManager, rows: list[Row]) -> None:
    for user in {row["user_id"] for row in rows}:
        assert answer(module_sdk.tasks.list_user_tasks(user)) == []
    assert answer(module_sdk.tasks.get_tasks_by_key_prefix("hpc.")) == []
    assert answer(module_sdk.tasks.get_tasks_by_key_prefix("hpc.1.", 2)) == []


def test_a_second_replay_writes_nothing(manager: module_sdk.TaskManager, log: Path) -> None:
    assert replay(manager, read_jobs(log)) == 0


def run_example(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "examples" / "replay_trace.py", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_command_replays_the_shipped_log(tmp_path: Path) -> None:
    # given an empty store
    url = f"sqlite:///{tmp_path}/tasks.db"

    # when the log is replayed twice
    first, second = run_example("--url", url), run_example("--url", url)

    # then the first run writes the log, and both runs find all of it by user and by prefix
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + first.stderr + second.stdout + second.stderr
    assert "2,000 of 2,000 jobs written" in first.stdout
    assert "0 of 2,000 jobs written" in second.stdout
    for run in (first, second):
        assert [line.split()[5] for line in run.stdout.splitlines() if "list_user_tasks" in line] == ["2,000"]
        assert [line.split()[5] for line in run.stdout.splitlines() if "key_prefix" in line] == ["2,000"]


@pytest.mark.parametrize(
    ("url", "text", "complaint"),
    [
        ("memory://", "; UnixStartTime: 0\n1 2 3\n", "line 2: not in the Standard Workload Format"),
        ("memory://", "1" + " 1" * 17, "line 1: not in the Standard Workload Format"),
        ("no-such-store://", "", "no backend is installed for no-such-store"),
    ],
    ids=["short line", "no start time", "unknown store"],
)
def test_the_command_says_what_is_wrong(url: str, text: str, complaint: str, tmp_path: Path) -> None:
    log = tmp_path / "jobs.swf"
    log.write_text(text)
    done = run_example("--url", url, "--log", log)
    assert done.returncode == 1
    assert complaint in " ".join(done.stdout.split())


def test_the_shipped_log_keeps_its_acknowledgement() -> None:
    text = gzip.decompress(SHIPPED_LOG.read_bytes()).decode()
    assert "; Acknowledge: Bill Nitzberg\n" in text
    assert len([line for line in text.splitlines() if not line.startswith(";")]) == 2_000
