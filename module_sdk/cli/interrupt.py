"""Interruption of tasks whose process is gone, by an operator."""

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
    """The ids of the tasks, by outcome."""

    interrupted: list[str] = dataclasses.field(default_factory=list)
    ended_before: list[str] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)


def interrupt_tasks(task_ids: Iterable[str]) -> Interrupted:
    """Record the tasks as interrupted, in any organization. Running work stops when it next reports.

    Raises `TaskBackendError` when the store fails; the tasks before that stay interrupted.
    """
    manager = get_runtime().manager()
    outcome = Interrupted()
    for task_id in task_ids:
        try:
            row = update_task(manager, task_id, ANY, status=INTERRUPTED, error=BY_OPERATOR)
        except IllegalTransitionError:
            outcome.ended_before.append(task_id)
        else:
            (outcome.unknown if row is None else outcome.interrupted).append(task_id)
    return outcome
