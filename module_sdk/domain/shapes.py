"""The types of the arguments and results of public calls. At run time these are plain `dict`s and `str`s.

Import them for annotations (`from module_sdk import TaskRow, TaskView`). They do not slow calls down.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Coroutine, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, NotRequired, Protocol, TypeAlias, TypedDict, TypeVar, get_args

__all__ = [
    "ChangedEvent",
    "ProgressEvent",
    "SortOrder",
    "TaskChange",
    "TaskDict",
    "TaskEvent",
    "TaskFilters",
    "TaskPage",
    "TaskRow",
    "TaskSort",
    "TaskStatus",
    "TaskView",
]

Item = TypeVar("Item")

Identifier: TypeAlias = int | str | uuid.UUID
"""The id of a user or an organization. A UUID is stored and returned as text."""

AnyTaskId: TypeAlias = str | uuid.UUID
"""The id of a task, as text or as a UUID."""

# `Any`, because only the code that wrote a payload knows its type.
Json: TypeAlias = Any
"""Plain JSON: `None`, `bool`, `int`, `float`, `str`, `list`, or `dict` with text keys."""

Work: TypeAlias = Coroutine[Any, Any, object]
"""A coroutine object, as returned by calling an `async def` function."""

ActiveStatus: TypeAlias = Literal["pending", "running", "waiting_confirmation"]
FinalStatus: TypeAlias = Literal["completed", "failed", "interrupted"]
TaskStatus: TypeAlias = ActiveStatus | FinalStatus

TaskChange: TypeAlias = Literal["created", "updated"] | TaskStatus
"""The change that an event or observer reports: the new status, or `created`, or `updated` if it did not move."""

LookupName: TypeAlias = Literal["list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix"]
LOOKUPS: Final[tuple[LookupName, ...]] = get_args(LookupName)


class TaskRow(TypedDict):
    """The ten fields of a task that lookups and pages return."""

    id: str
    """A UUID in canonical lower-case form."""
    module: str
    label: str
    status: TaskStatus
    progress: float
    """A fraction, from 0 to 1."""
    task_key: str | None
    user_id: int | str
    organization_id: int | str | None
    created_at: str
    """ISO 8601 in UTC with six fractional digits: `2026-01-31T09:30:00.000000+00:00`."""
    updated_at: str


class TaskView(TaskRow):
    """A row, with the fields that only a call for a single task reads."""

    checkpoint: Json
    """The value that the work last reported with its progress."""
    result: Json
    """The value that the work returned."""
    error: str | None
    """`Type: message` if the task failed, or the reason why it was interrupted."""
    started_at: str | None
    finished_at: str | None
    confirmation: Json
    """The value to show while the status is `waiting_confirmation`."""


class TaskDict(TaskView):
    """Every field of a task, as `Task.to_dict` returns and `Task.from_dict` takes them."""

    function: str | None
    arguments: Json


RowField: TypeAlias = Literal[
    "id",
    "module",
    "label",
    "status",
    "progress",
    "task_key",
    "user_id",
    "organization_id",
    "created_at",
    "updated_at",
]
RowFieldDescending: TypeAlias = Literal[
    "-id",
    "-module",
    "-label",
    "-status",
    "-progress",
    "-task_key",
    "-user_id",
    "-organization_id",
    "-created_at",
    "-updated_at",
]
Direction: TypeAlias = Literal["asc", "desc"]


class SortOrder(TypedDict):
    """One field and a direction. The default direction is ascending."""

    field: RowField
    direction: NotRequired[Direction]


TaskSort: TypeAlias = SortOrder | RowField | RowFieldDescending
"""`"label"`, `"-updated_at"`, or `{"field": "label", "direction": "asc"}`."""

OneOrMore: TypeAlias = Item | Sequence[Item] | AbstractSet[Item]
"""One value, or a list, tuple or set of alternatives. An empty one matches nothing."""

Time: TypeAlias = str | datetime.datetime
"""ISO 8601 text with a time zone, or an aware `datetime`."""


class TaskFilters(TypedDict, total=False):
    """The filters of a page or a count. A task must pass every filter.

    A plain field name is an exact match, and `None` means *has none*. `__contains` and `__startswith` compare text
    literally; `__gte` (at or after) and `__lt` (before) compare times.
    """

    id: OneOrMore[str | uuid.UUID]
    id__contains: str
    id__startswith: str
    module: OneOrMore[str]
    module__contains: str
    module__startswith: str
    label: OneOrMore[str]
    label__contains: str
    label__startswith: str
    status: OneOrMore[TaskStatus]
    status__contains: str
    status__startswith: str
    task_key: OneOrMore[str | None]
    task_key__contains: str
    task_key__startswith: str
    user_id: OneOrMore[Identifier]
    user_id__contains: str
    user_id__startswith: str
    organization_id: OneOrMore[Identifier | None]
    organization_id__contains: str
    organization_id__startswith: str
    created_at__gte: Time
    created_at__lt: Time
    updated_at__gte: Time
    updated_at__lt: Time


class TaskPage(TypedDict):
    """One page of the read model."""

    rows: list[TaskRow]
    total_rows: int
    """The number of tasks that pass the filters, on all pages together."""
    page: int
    page_size: int
    filters: TaskFilters
    sort: SortOrder
    next: str | None


class ChangedEvent(TypedDict):
    """This process stored a change of a task."""

    type: Literal["changed"]
    task_id: str
    change: TaskChange
    row: TaskRow


class ProgressEvent(TypedDict):
    """`emit_progress` was called; nothing was stored. Arguments that were not passed are `None`."""

    type: Literal["progress"]
    task_id: str
    progress: float | None
    label: str | None
    checkpoint: Json


TaskEvent: TypeAlias = ChangedEvent | ProgressEvent


class LookupManager(Protocol):
    """The minimum that `configure(manager=…)` accepts: an object with the three lookups."""

    def list_user_tasks(self, user_id: Any, organization_id: Any, /, *, limit: Any) -> object:
        """See `TaskManager.list_user_tasks`."""

    def get_tasks_by_key(self, task_key: Any, organization_id: Any, /, *, limit: Any) -> object:
        """See `TaskManager.get_tasks_by_key`."""

    def get_tasks_by_key_prefix(self, prefix: Any, organization_id: Any, /, *, limit: Any) -> object:
        """See `TaskManager.get_tasks_by_key_prefix`."""
