"""The benchmarks compare code that does the same work: references return the rows that the facade returns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import module_sdk
from benchmarks.data import GROUP_SIZES, LOOKUPS, ORGANIZATIONS, RESULT, Dataset
from benchmarks.references.rows import NewTask
from benchmarks.stores import STORES, Filled, RunningStore, filled
from module_sdk import tasks
from module_sdk.domain.task import Task
from tests.support.environments import ROOT

SIZE = 1_000
FIXTURES = {"postgresql": "postgresql_url", "mariadb": "mariadb_url", "redis": "valkey_url", "mongo": "mongodb_url"}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    if request.param == "mariadb":
        pytest.importorskip(
            "MySQLdb", reason="mysqlclient needs a compiler, so it is tested only where it is installed"
        )
    if request.param in FIXTURES:
        url = request.getfixturevalue(FIXTURES[request.param])
    else:
        url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path_factory.mktemp('store')}/tasks.db"
    with filled(RunningStore(request.param, url), SIZE) as made:
        module_sdk.configure(manager=made.manager)
        yield made


def test_references_find_the_rows_that_the_facade_finds(store: Filled) -> None:
    # given the generated tasks
    every_row = [task.to_row() for task in Dataset(SIZE).tasks()]
    newest_first = sorted(every_row, key=lambda row: (row["created_at"], row["id"]), reverse=True)
    compared = 0
    for lookup in LOOKUPS:
        for found in GROUP_SIZES:
            for argument in store.dataset.arguments(lookup, found)[:3]:
                for organization in ORGANIZATIONS:
                    # when the facade and the reference make the same lookup
                    ours = getattr(tasks, lookup)(argument, organization)
                    theirs = getattr(store.reference, lookup)(argument, organization)

                    # then both return exactly the matching rows
                    expected = [row for row in newest_first if matches(row, lookup, argument, organization)]
                    assert ours.error is None
                    assert ours == expected
                    assert theirs == expected
                    assert len(expected) == found
                    compared += 1
    assert compared > 50


def matches(row: Mapping[str, object], lookup: str, argument: int | str, organization: int) -> bool:
    if row["organization_id"] != organization:
        return False
    if lookup == "list_user_tasks":
        return row["user_id"] == argument
    key = str(row["task_key"])
    return key == argument if lookup == "get_tasks_by_key" else key.startswith(str(argument))


@pytest.mark.parametrize("store", [name for name in STORES if name != "memory"], indirect=True)
def test_references_write_what_the_manager_reads(store: Filled) -> None:
    # given a running task of the data set
    list(store.dataset.tasks())
    running = store.dataset.active[0]
    manager, reference = store.manager, store.reference

    # when the reference creates a task, then the manager finds its row
    created, is_new = reference.create(NewTask(77, 3, "benchmark.key"))
    assert is_new
    assert manager.get_tasks_by_key("benchmark.key", 3) == [created]

    # and the key is taken, for both
    holder, is_new = reference.create(NewTask(78, 3, "benchmark.key"))
    assert (holder, is_new) == (created, False)
    assert not manager.create(Task.new(user_id=78, organization_id=3, module="m", task_key="benchmark.key"))[1]

    # when the reference writes progress, then only the progress and `updated_at` have changed
    before = manager.get(running.task_id)
    assert before is not None
    row = reference.update_progress(running.task_id, running.organization_id, 0.75)
    after = manager.get(running.task_id)
    assert after is not None
    assert row == after.to_row()
    assert after.updated_at > before.updated_at
    assert (after.progress, after.checkpoint) == (0.75, before.checkpoint)

    # when the reference completes the task, then the key is free and the result is stored
    row = reference.complete(running.task_id, running.organization_id, RESULT)
    ended = manager.get(running.task_id)
    assert ended is not None
    assert row == ended.to_row()
    assert (ended.status, ended.result, ended.finished_at) == ("completed", RESULT, ended.updated_at)
    assert reference.create(NewTask(77, running.organization_id, running.task_key))[1]
    assert reference.update_progress(running.task_id, running.organization_id, 0.1) is None


def test_the_reference_in_memory_reads_what_it_wrote() -> None:
    # given a reference with its own memory, because only a manager sees the memory of a manager
    with filled(RunningStore("memory", "memory://"), SIZE) as store:
        reference = store.reference
        running = store.dataset.active[0]

        # when it creates a task, refuses its key, writes progress and completes, then its lookups return each change
        created, is_new = reference.create(NewTask(77, 3, "benchmark.key"))
        assert is_new
        assert reference.create(NewTask(78, 3, "benchmark.key")) == (created, False)
        assert reference.get_tasks_by_key("benchmark.key", 3) == [created]
        row = reference.update_progress(running.task_id, running.organization_id, 0.75)
        assert reference.get_tasks_by_key(running.task_key, running.organization_id) == [row]
        row = reference.complete(running.task_id, running.organization_id, RESULT)
        assert reference.get_tasks_by_key(running.task_key, running.organization_id) == [row]
        assert reference.create(NewTask(77, running.organization_id, running.task_key))[1]


def test_the_command_writes_its_measurements(tmp_path: Path) -> None:
    # when one store is measured for as short a time as possible
    short = ["--store", "sqlite", "--size", "1000", "--rounds", "1", "--load-seconds", "0.5", "--import-size", "1000"]
    parts = [word for part in ("lookups", "writes", "callers", "threads", "import") for word in ("--part", part)]
    command = [sys.executable, "-m", "benchmarks", *short, *parts, "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    # then the results name the machine, contain each variant of each case, and say which bounds are met
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["machine"]["cores"] > 0
    (found,) = results["findings"]
    lookups = [one for one in found["timings"] if "lookup" in one]
    assert {(one["lookup"], one["found"]) for one in lookups} == {(name, n) for name in LOOKUPS for n in (1, 10, 100)}
    assert all(set(one["microseconds"]) == {"facade", "manager", "reference"} for one in lookups)
    assert {one["write"] for one in found["timings"] if "write" in one} >= {"create", "update_progress", "complete"}
    assert {one["async callers"] for one in found["timings"] if "async callers" in one} == {1, 10, 200}
    figures = {one["name"]: one for one in found["figures"]}
    assert figures["32 threads: updates that were lost"]["value"] == 0
    assert {"bound", "met"} <= figures["create, 1,000 tasks: facade over reference"].keys()

    # and the report is a page of tables
    report = (tmp_path / "report.md").read_text()
    assert "| list_user_tasks | 10 | 1,000 |" in report
    assert "## sqlite" in report


def test_the_command_refuses_an_unknown_store(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--store", "papyrus", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "papyrus is none of memory, sqlite" in " ".join(done.stderr.split())
