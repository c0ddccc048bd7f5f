"""DBOS Transact: `DBOSClient.list_workflows` (https://docs.dbos.dev/python/reference/client)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy
from dbos import DBOSClient, run_dbos_database_migrations

from benchmarks.data import CHECKPOINT_TEXT, RESULT_TEXT
from benchmarks.peers.base import Peer, Question, chunks, scoped
from module_sdk.domain.task import Task


class DBOS(Peer):
    title = "DBOS"
    stores = ("sqlite", "postgresql")

    def __init__(self, url: str, folder: str) -> None:
        super().__init__(url, folder)
        self.is_sqlite = url.startswith("sqlite")
        run_dbos_database_migrations(url)
        self.client = DBOSClient(system_database_url=url)
        self.options: dict[str, Any] = {"sort_desc": True, "load_input": False, "load_output": False}

    def load(self, tasks: Iterable[Task]) -> None:
        driver = self.url.replace("postgresql://", "postgresql+psycopg://")
        engine = sqlalchemy.create_engine(driver)
        schema = None if self.is_sqlite else "dbos"
        table = sqlalchemy.Table("workflow_status", sqlalchemy.MetaData(), autoload_with=engine, schema=schema)
        with engine.begin() as connection:
            for chunk in chunks(tasks):
                workflows = [workflow(task) for task in chunk]
                if not self.is_sqlite:  # SQLite does not support attributes
                    for made, task in zip(workflows, chunk, strict=True):
                        made["attributes"] = {"key": scoped(task.organization_id, task.task_key)}
                connection.execute(table.insert(), workflows)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sqlalchemy.text("ANALYZE"))
        engine.dispose()

    def questions(self) -> list[Question]:
        asked = [
            Question(
                "list_workflows(user=…)",
                "list_user_tasks",
                lambda user, organization: self.client.list_workflows(user=scoped(organization, user), **self.options),
                is_indexed=False,
            ),
            Question(
                "list_workflows(workflow_id_prefix=…)",
                "get_tasks_by_key_prefix",
                lambda prefix, organization: self.client.list_workflows(
                    workflow_id_prefix=scoped(organization, prefix), **self.options
                ),
                is_indexed=False,
            ),
        ]
        if not self.is_sqlite:
            asked.append(
                Question(
                    "list_workflows(attributes={…})",
                    "get_tasks_by_key",
                    lambda key, organization: self.client.list_workflows(
                        attributes={"key": scoped(organization, key)}, **self.options
                    ),
                    is_indexed=True,
                )
            )
        return asked

    def close(self) -> None:
        self.client.destroy()


def workflow(task: Task) -> dict[str, Any]:
    milliseconds = task.created_at // 1_000
    return {
        # The id of a workflow is unique, but several tasks may share a key.
        "workflow_uuid": f"{scoped(task.organization_id, task.task_key)}/{task.id}",
        "status": "PENDING" if task.is_active else "SUCCESS",
        "name": task.module,
        "authenticated_user": scoped(task.organization_id, task.user_id),
        "created_at": milliseconds,
        "updated_at": task.updated_at // 1_000,
        "priority": 0,
        "inputs": CHECKPOINT_TEXT,
        "output": None if task.is_active else RESULT_TEXT,
        "was_forked_from": False,
        "rate_limited": False,
        "is_debounced": False,
    }
