"""RQ: a registry's ids, then `Job.fetch_many` (https://python-rq.org/docs/job_registries/)."""

from __future__ import annotations

from collections.abc import Iterable

import redis
from rq.job import Job
from rq.registry import FinishedJobRegistry

from benchmarks.data import CHECKPOINT, Argument
from benchmarks.peers.base import Peer, Question, chunks, scoped
from module_sdk.domain.task import Task

NEVER = float("inf")


def work(checkpoint: object) -> None:
    """The function of the jobs. It is never run."""


class RQ(Peer):
    title = "RQ"
    stores = ("redis",)

    def __init__(self, url: str, folder: str) -> None:
        super().__init__(url, folder)
        self.client = redis.Redis.from_url(url)
        self.registry = FinishedJobRegistry("default", connection=self.client)

    def load(self, tasks: Iterable[Task]) -> None:
        for chunk in chunks(tasks, 1_000):
            with self.client.pipeline(transaction=False) as pipeline:
                for task in chunk:
                    job_id = f"{id_part(scoped(task.organization_id, task.task_key))}{task.id}"
                    user = {"user": scoped(task.organization_id, task.user_id)}
                    job = Job.create(work, (CHECKPOINT,), connection=self.client, id=job_id, meta=user)
                    job.save(pipeline=pipeline)
                    pipeline.zadd(self.registry.key, {job_id: NEVER})
                pipeline.execute()

    def questions(self) -> list[Question]:
        return [
            Question("get_job_ids(), filtered; fetch_many()", "get_tasks_by_key_prefix", self.by_prefix, False),
            Question("fetch_many(get_job_ids()), filtered", "list_user_tasks", self.by_user, False),
        ]

    def by_prefix(self, prefix: Argument, organization: int) -> list[Job | None]:
        start = id_part(scoped(organization, prefix))
        found = [job_id for job_id in self.registry.get_job_ids() if job_id.startswith(start)]
        return list(Job.fetch_many(found, connection=self.client))

    def by_user(self, user: Argument, organization: int) -> list[Job]:
        wanted = scoped(organization, user)
        jobs = Job.fetch_many(self.registry.get_job_ids(), connection=self.client)
        return [job for job in jobs if job is not None and job.meta["user"] == wanted]

    def close(self) -> None:
        self.client.close()


def id_part(text: str) -> str:
    """Return the text without dots: an id of RQ may contain letters, digits, dashes and underscores."""
    return text.replace(".", "-")
