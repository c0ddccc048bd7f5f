"""The shapes of what public calls take and return. At run time they are plain `dict`s and `str`s.

`from module_sdk import TaskRow, TaskView` and so on: the names are for annotations, and cost a call nothing.
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
"""The id of a user or an organization. A UUID is its text, and comes back as that."""

AnyTaskId: TypeAlias = str | uuid.UUID
"""The id of a task, or the UUID that it is the text of."""

Json: TypeAlias = Any
"""Plain JSON: `None`, `bool`, `int`, `float`, `str`, `list`, or `dict` with text keys. Only its writer knows more."""

Work: TypeAlias = Coroutine[Any, Any, object]
"""A coroutine object, as the call of an `async def` function returns it."""

ActiveStatus: TypeAlias = Literal["pending", "running", "waiting_confirmation"]
FinalStatus: TypeAlias = Literal["completed", "failed", "interrupted"]
TaskStatus: TypeAlias = ActiveStatus | FinalStatus

TaskChange: TypeAlias = Literal["created", "updated"] | TaskStatus
"""What an event or observer reports: the status that the task moved to, or a change without a move."""

LookupName: TypeAlias = Literal["list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix"]
LOOKUPS: Final[tuple[LookupName, ...]] = get_args(LookupName)


class TaskRow(TypedDict):
    """The ten listed fields of a task, as lookups and pages return them."""

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
    """A row, and what only a call for one task reads."""

    checkpoint: Json
    """What the work reported last with its progress."""
    result: Json
    """What the work returned."""
    error: str | None
    """`Type: message` of a task that failed; why a task was interrupted."""
    started_at: str | None
    finished_at: str | None
    confirmation: Json
    """What to show while the status is `waiting_confirmation`."""


class TaskDict(TaskView):
    """Every field of a task, as `Task.to_dict` returns them and `Task.from_dict` takes them."""

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
    """One field and a direction; ascending where that is left out."""

    field: RowField
    direction: NotRequired[Direction]


TaskSort: TypeAlias = SortOrder | RowField | RowFieldDescending
"""`"label"`, `"-updated_at"`, or `{"field": "label", "direction": "asc"}`."""

OneOrMore: TypeAlias = Item | Sequence[Item] | AbstractSet[Item]
"""One value, or a list, tuple or set of them, which means any of these. An empty one matches nothing."""

Time: TypeAlias = str | datetime.datetime
"""ISO 8601 text with a time zone, or an aware `datetime`."""


class TaskFilters(TypedDict, total=False):
    """What a page or a count selects: a task must pass every filter.

    A field alone is compared as a whole, and `None` means *has none*. `__contains` and `__startswith` compare text
    literally, `__gte` (at or after) and `__lt` (before) compare times.
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
    """How many tasks pass the filters on all pages together."""
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
    """`emit_progress` was called; nothing was stored. What the call left out is `None`."""

    type: Literal["progress"]
    task_id: str
    progress: float | None
    label: str | None
    checkpoint: Json


TaskEvent: TypeAlias = ChangedEvent | ProgressEvent


class LookupManager(Protocol):
    """The least that `configure(manager=…)` takes: an object with the three lookups, whatever they do."""

    def list_user_tasks(self, user_id: Any, organization_id: Any, /, *, limit: Any) -> object:
        """See `TaskManager.list_user_tasks`."""

    def get_tasks_by_key(self, task_key: Any, organization_id: Any, /, *, limit: Any) -> object:
        """See `TaskManager.get_tasks_by_key`."""

    def get_tasks_by_key_prefix(self, prefix: Any, organization_id: Any, /, *, limit: Any) -> object:
        """See `TaskManager.get_tasks_by_key_prefix`."""
