"""Dagster: `DagsterInstance.get_runs` by tags (https://docs.dagster.io/api/dagster/internals)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import sqlalchemy
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._serdes import serialize_value

from benchmarks.data import Argument
from benchmarks.peers.base import Peer, Question, chunks, scoped
from module_sdk.domain.task import Task


class Dagster(Peer):
    title = "Dagster"
    stores = ("sqlite", "postgresql")

    def __init__(self, url: str, folder: str) -> None:
        super().__init__(url, folder)
        overrides: dict[str, Any] = {"telemetry": {"enabled": False}}
        if url.startswith("postgresql"):
            overrides["storage"] = {"postgres": {"postgres_url": url}}
        self.instance = DagsterInstance.local_temp(folder, overrides)

    def load(self, tasks: Iterable[Task]) -> None:
        # Its own API takes three statements per run.
        with self.instance.run_storage.connect() as connection:
            for chunk in chunks(tasks):
                runs = [run_of(task) for task in chunk]
                values = [run_values(run, task) for run, task in zip(runs, chunk, strict=True)]
                connection.execute(sqlalchemy.insert(RunsTable), values)
                tags = [
                    {"run_id": run.run_id, "key": key, "value": value}
                    for run in runs
                    for key, value in run.tags.items()
                ]
                connection.execute(sqlalchemy.insert(RunTagsTable), tags)
            connection.execute(sqlalchemy.text("ANALYZE"))

    def questions(self) -> list[Question]:
        return [
            Question("get_runs(RunsFilter(tags={user}))", "list_user_tasks", self.ask_by("user"), True),
            Question("get_runs(RunsFilter(tags={key}))", "get_tasks_by_key", self.ask_by("key"), True),
        ]

    def ask_by(self, tag: str) -> Any:
        def ask(argument: Argument, organization: int) -> Any:
            return self.instance.get_runs(RunsFilter(tags={tag: scoped(organization, argument)}))

        return ask

    def close(self) -> None:
        self.instance.dispose()


def run_of(task: Task) -> DagsterRun:
    status = DagsterRunStatus.STARTED if task.is_active else DagsterRunStatus.SUCCESS
    tags = {
        "user": scoped(task.organization_id, task.user_id),
        "key": scoped(task.organization_id, task.task_key),
    }
    return DagsterRun(job_name=task.module, run_id=task.id, status=status, tags=tags)


def run_values(run: DagsterRun, task: Task) -> dict[str, Any]:
    created = datetime.datetime.fromtimestamp(task.created_at / 1e6, datetime.UTC).replace(tzinfo=None)
    return {
        "run_id": run.run_id,
        "pipeline_name": run.job_name,
        "status": run.status.value,
        "run_body": serialize_value(run),
        "create_timestamp": created,
        "update_timestamp": created,
    }
