"""Freeing tasks whose process is gone: an operator records them as `interrupted`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from module_sdk.domain.sentinels import ANY
from module_sdk.domain.statuses import INTERRUPTED
from module_sdk.errors import IllegalTransitionError
from module_sdk.facade.announced_writes import update_task
from module_sdk.facade.runtime import get_runtime

BY_OPERATOR: Final = "interrupted by an operator"


@dataclasses.dataclass
class Interrupted:
    """Ids of tasks, by what became of them."""

    interrupted: list[str] = dataclasses.field(default_factory=list)
    ended_before: list[str] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)


def interrupt_tasks(task_ids: Iterable[str]) -> Interrupted:
    """Record them as interrupted, in whichever organization they are; work that still runs stops when it notices.

    Raises `TaskBackendError` when the store fails; those before it stay interrupted.
    """
    manager = get_runtime().manager()
    done = Interrupted()
    for task_id in task_ids:
        try:
            row = update_task(manager, task_id, ANY, status=INTERRUPTED, error=BY_OPERATOR)
        except IllegalTransitionError:
            done.ended_before.append(task_id)
        else:
            (done.unknown if row is None else done.interrupted).append(task_id)
    return done
