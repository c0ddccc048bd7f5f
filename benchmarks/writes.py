"""The writes of a task's life: by the facade, by the manager alone and by the reference.

Each variant uses tasks that it has created, or the running tasks of the data set. As in real work, the facade notifies
observers and subscribers, of which there are none here. It needs a session.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import module_sdk
from benchmarks.data import ORGANIZATIONS, RESULT
from benchmarks.measure import Case, Variant
from benchmarks.references.rows import NewTask
from benchmarks.stores import Filled
from module_sdk import tasks
from module_sdk.domain.sentinels import ANY
from module_sdk.domain.task import Task
from module_sdk.facade import announced_writes

MODULE: Final = "reports"
BATCH: Final = 20

numbers: Final[Iterator[int]] = itertools.count()


def write_cases(filled: Filled) -> list[Case]:
    manager, reference = filled.manager, filled.reference
    rng = random.Random(filled.size)
    configured = functools.partial(module_sdk.configure, manager=manager)

    def case(name: str, arguments: Callable[[int], list[tuple[Any, ...]]], *calls: Callable[..., object]) -> Case:
        facade, alone, bare = calls
        variants = (Variant("facade", facade, configured), Variant("manager", alone), Variant("reference", bare))
        return Case({"write": name, "size": filled.size}, variants, arguments, BATCH)

    create = (
        lambda user, organization, key: announced_writes.create_task(manager, new_task(user, organization, key)),
        lambda user, organization, key: manager.create(new_task(user, organization, key)),
        lambda user, organization, key: reference.create(NewTask(user, organization, key)),
    )
    progress = (
        lambda task_id, _, value: tasks.update_progress_sync(task_id, value),
        lambda task_id, organization, value: manager.update(task_id, organization_id=organization, progress=value),
        reference.update_progress,
    )
    complete = (
        lambda task_id, _: announced_writes.update_task(manager, task_id, ANY, status="completed", result=RESULT),
        lambda task_id, organization: manager.update(
            task_id, organization_id=organization, status="completed", result=RESULT
        ),
        lambda task_id, organization: reference.complete(task_id, organization, RESULT),
    )

    def active(number: int) -> list[tuple[Any, ...]]:
        return [
            (one.task_id, one.organization_id, rng.random()) for one in rng.choices(filled.dataset.active, k=number)
        ]

    def held(number: int) -> list[tuple[Any, ...]]:
        return [(77, one.organization_id, one.task_key) for one in rng.choices(filled.dataset.active, k=number)]

    return [
        case("create", lambda number: [new_key(rng) for _ in range(number)], *create),
        case("create, key held", held, *create),
        case("update_progress", active, *progress),
        case("complete", lambda number: running(filled, rng, number), *complete),
    ]


def new_task(user_id: int, organization_id: int, task_key: str) -> Task:
    return Task.new(user_id=user_id, organization_id=organization_id, module=MODULE, task_key=task_key)


def new_key(rng: random.Random) -> tuple[int, int, str]:
    """Return a user, an organization and a key that no task has."""
    return rng.randrange(1_000), rng.choice(ORGANIZATIONS), f"benchmark.new.{next(numbers)}"


def running(filled: Filled, rng: random.Random, number: int) -> list[tuple[Any, ...]]:
    """Import that many new running tasks. Return their ids and organizations."""
    created = [new_task(*new_key(rng)) for _ in range(number)]
    started = [dataclasses.replace(task, status="running", started_at=task.created_at) for task in created]
    filled.put(started)
    return [(task.id, task.organization_id) for task in started]
