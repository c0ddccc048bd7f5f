"""procrastinate: `JobManager.list_jobs` (https://procrastinate.readthedocs.io/en/stable/howto/production/monitoring.html)."""

from __future__ import annotations

import json
from collections.abc import Iterable

import procrastinate

from benchmarks.data import CHECKPOINT
from benchmarks.peers.base import Peer, Question, scoped
from module_sdk.domain.task import Task


class Procrastinate(Peer):
    title = "procrastinate"
    stores = ("postgresql",)

    def __init__(self, url: str, folder: str) -> None:
        super().__init__(url, folder)
        self.app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))
        self.app.open()

    def load(self, tasks: Iterable[Task]) -> None:
        import psycopg  # noqa: PLC0415  # its connector has no bulk load

        self.app.schema_manager.apply_schema()
        columns = "queue_name, task_name, lock, args, status"
        arguments = json.dumps(CHECKPOINT)
        with psycopg.connect(self.url, autocommit=True) as connection:
            with connection.cursor() as cursor, cursor.copy(f"COPY procrastinate_jobs ({columns}) FROM STDIN") as copy:
                for task in tasks:
                    queue = scoped(task.organization_id, task.user_id)
                    lock = scoped(task.organization_id, task.task_key)
                    # Finished jobs, since only one waiting job may have a lock.
                    copy.write_row((queue, task.module, lock, arguments, "succeeded"))
            connection.execute("ANALYZE")

    def questions(self) -> list[Question]:
        jobs = self.app.job_manager
        return [
            Question(
                "list_jobs(queue=…)",
                "list_user_tasks",
                lambda user, organization: list(jobs.list_jobs(queue=scoped(organization, user))),
                is_indexed=True,
            ),
            Question(
                "list_jobs(lock=…)",
                "get_tasks_by_key",
                lambda key, organization: list(jobs.list_jobs(lock=scoped(organization, key))),
                is_indexed=False,
            ),
            Question(
                "list_jobs(), filtered here",
                "get_tasks_by_key_prefix",
                lambda prefix, organization: [
                    job for job in jobs.list_jobs() if (job.lock or "").startswith(scoped(organization, prefix))
                ],
                is_indexed=False,
            ),
        ]

    def close(self) -> None:
        self.app.close()
