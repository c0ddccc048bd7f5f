"""The reference: the answers that a store must return, computed in plain Python from a list of tasks.

It uses nothing of `module_sdk`, so a mistake there is not repeated here. Obvious correctness matters more than speed.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

ROW_FIELDS: Final = (
    "id", "module", "label", "status", "progress", "task_key", "user_id", "organization_id", "created_at", "updated_at",
)  # fmt: skip
VIEW_FIELDS: Final = ("checkpoint", "result", "error", "started_at", "finished_at", "confirmation")
PAYLOADS: Final = ("checkpoint", "result", "confirmation", "arguments")
TIMES: Final = ("created_at", "updated_at", "started_at", "finished_at")
ACTIVE: Final = ("pending", "running", "waiting_confirmation")
ENDED: Final = ("completed", "failed", "interrupted")
STATUSES: Final = ACTIVE + ENDED
MOVES: Final = {
    "pending": ("running", "failed", "interrupted"),
    "running": ("waiting_confirmation", "completed", "failed", "interrupted"),
    "waiting_confirmation": ("running", "failed", "interrupted"),
}
DEFAULTS: Final[Mapping[str, Any]] = {
    "module": "contract",
    "label": "Background Task",
    "status": "pending",
    "progress": 0.0,
    "task_key": None,
    "user_id": 1,
    "organization_id": None,
    "started_at": None,
    "finished_at": None,
    "checkpoint": None,
    "result": None,
    "error": None,
    "confirmation": None,
    "function": None,
    "arguments": None,
}
DEFAULT_SORT: Final = ("updated_at", "desc")
EVERYWHERE: Final = object()
"""The `organization_id` that means every organization."""

Fields = dict[str, Any]
Row = dict[str, Any]


class IllegalMove(Exception):  # noqa: N818  # the reference's own word for what the store must refuse
    """The status of the task does not permit the change."""


class Reference:
    """The tasks as created and changed, with times in microseconds and ids in canonical form."""

    def __init__(self) -> None:
        self.tasks: list[Fields] = []

    # --- Writes -----------------------------------------------------------------------------------------------------

    def create(self, fields: Mapping[str, Any]) -> tuple[Fields, bool]:
        """Return the task with that id or the holder of its key, and whether it is the task with that id."""
        task = recorded(fields)
        existing = self.find(task["id"])
        if existing is not None:
            return existing, True
        holder = self.holder(task)
        if holder is not None:
            return holder, False
        self.tasks.append(task)
        return task, True

    def settle(self, task: Fields, created_at: int) -> None:
        """Adopt the time of a store that puts a new task one microsecond after an earlier one of its key (ORDER-10)."""
        earlier = [other["created_at"] for other in self.tasks if same_key(other, task) and other is not task]
        if created_at > task["created_at"] and created_at - 1 in earlier:
            moved = {name: max(created_at, task[name]) for name in TIMES if task[name] is not None}
            task.update(moved)

    def import_all(self, tasks: Sequence[Mapping[str, Any]]) -> tuple[int, Fields | None]:
        """Import until the first active task whose key has a holder. Return the number imported and that task."""
        written = 0
        for fields in tasks:
            task = recorded(fields)
            if self.find(task["id"]) is not None:
                continue
            if self.holder(task) is not None:
                return written, task
            self.tasks.append(task)
            written += 1
        return written, None

    def holder(self, task: Fields) -> Fields | None:
        """Return the active task that has the key of `task`; `None` if there is none or `task` is not active."""
        if task["task_key"] is None or task["status"] not in ACTIVE:
            return None
        for other in self.tasks:
            if same_key(other, task) and other["status"] in ACTIVE:
                return other
        return None

    def update(self, task_id: str, now: int, organization_id: object = EVERYWHERE, **changes: Any) -> Fields | None:
        """Return the changed task, `None` for an unknown one. Raise `IllegalMove` if its status does not permit it."""
        task = self.find(task_id, organization_id)
        if task is None:
            return None
        wanted = changes.get("status")
        if task["status"] not in ACTIVE or (wanted is not None and wanted not in MOVES[task["status"]]):
            raise IllegalMove(f"{task['status']} to {wanted}")
        moment = max(now, task["updated_at"] + 1)
        if "progress" in changes:
            changes["progress"] = min(1.0, max(0.0, float(changes["progress"])))
        if wanted is not None and wanted != "waiting_confirmation":
            changes.setdefault("confirmation", None)
        if wanted == "running" and task["started_at"] is None:
            changes["started_at"] = moment
        if wanted == "completed":
            changes["progress"] = 1.0
        if wanted in ENDED:
            changes["finished_at"] = moment
        task.update(as_json(changes), updated_at=moment)
        return task

    def prune(self, before: int, organization_id: Any = EVERYWHERE, user_id: Any = EVERYWHERE) -> int:
        """Delete ended tasks that were last changed before that moment, and return their number."""
        pruned = [
            task
            for task in self.tasks
            if task["status"] in ENDED
            and task["updated_at"] < before
            and in_scope(task, organization_id)
            and (user_id is EVERYWHERE or task["user_id"] == canonical(user_id))
        ]
        self.tasks = [task for task in self.tasks if task not in pruned]
        return len(pruned)

    # --- Reads ------------------------------------------------------------------------------------------------------

    def find(self, task_id: str, organization_id: object = EVERYWHERE) -> Fields | None:
        for task in self.tasks:
            if task["id"] == task_id and in_scope(task, organization_id):
                return task
        return None

    def view(self, task_id: str, organization_id: object = EVERYWHERE) -> Row | None:
        """Return the row with the six further fields of a view; `None` for an unknown task."""
        task = self.find(task_id, organization_id)
        return None if task is None else view_of(task)

    def lookup(self, operation: str, argument: Any, organization_id: Any = None, limit: int | None = None) -> list[Row]:
        """Return the answer of `list_user_tasks`, `get_tasks_by_key` or `get_tasks_by_key_prefix`."""
        matches = matcher(operation, argument)
        tasks = [task for task in self.tasks if matches(task) and in_scope(task, organization_id)]
        tasks.sort(key=lambda task: (task["created_at"], task["id"]), reverse=True)
        return [row_of(task) for task in tasks[:limit]]

    def page(
        self,
        filters: Mapping[str, Any] | None = None,
        sort: tuple[str, str] = DEFAULT_SORT,
        offset: int = 0,
        limit: int = 25,
        organization_id: object = EVERYWHERE,
    ) -> list[Row]:
        """Return the rows of one page; `sort` is a field and `asc` or `desc`."""
        field, direction = sort
        tasks = sorted(self.passing(filters or {}, organization_id), key=lambda task: order_key(task, field))
        if direction == "desc":
            tasks.reverse()
        return [row_of(task) for task in tasks[offset : offset + limit]]

    def count(self, filters: Mapping[str, Any] | None = None, organization_id: object = EVERYWHERE) -> int:
        return len(list(self.passing(filters or {}, organization_id)))

    def passing(self, filters: Mapping[str, Any], organization_id: object) -> Iterator[Fields]:
        for task in self.tasks:
            if in_scope(task, organization_id) and all(passes(task, name, value) for name, value in filters.items()):
                yield task


def same_key(task: Fields, other: Fields) -> bool:
    return all(task[name] == other[name] for name in ("organization_id", "task_key")) and task["task_key"] is not None


def recorded(fields: Mapping[str, Any]) -> Fields:
    """Return a task's fields as a store must keep them: canonical ids, `""` as no key, progress from 0.0 to 1.0."""
    task = {**DEFAULTS, **fields}
    task["user_id"] = canonical(task["user_id"])
    if task["organization_id"] is not None:
        task["organization_id"] = canonical(task["organization_id"])
    task["task_key"] = task["task_key"] or None
    task["progress"] = min(1.0, max(0.0, float(task["progress"])))
    return as_json(task)


def as_json(fields: Fields) -> Fields:
    """Return the fields with payloads as JSON decodes them: tuples are lists, and nothing is shared with the caller."""
    return {
        name: json.loads(json.dumps(value)) if name in PAYLOADS and value is not None else value
        for name, value in fields.items()
    }


@functools.lru_cache(maxsize=1_024, typed=True)
def canonical(identifier: int | str) -> int | str:
    """Return an id in canonical form: `"7"` becomes `7`; `"007"`, `"7 "` and `"+7"` remain texts."""
    try:
        number = int(identifier)
    except ValueError:
        return identifier
    return number if str(number) == str(identifier) else identifier


def in_scope(task: Fields, organization_id: Any) -> bool:
    if organization_id is EVERYWHERE or organization_id is None:
        return organization_id is EVERYWHERE or task["organization_id"] is None
    return bool(task["organization_id"] == canonical(organization_id))


def matcher(operation: str, argument: Any) -> Callable[[Fields], bool]:
    """Return the predicate of the tasks that a lookup finds, without regard to their organization."""
    if operation == "list_user_tasks":
        user_id = canonical(argument)
        return lambda task: bool(task["user_id"] == user_id)
    if operation == "get_tasks_by_key":
        return lambda task: task["task_key"] is not None and bool(task["task_key"] == argument)
    return lambda task: task["task_key"] is not None and task["task_key"].startswith(argument)


def passes(task: Fields, name: str, wanted: Any) -> bool:
    """Return whether a task passes one filter of the read model."""
    field, _, operator = name.partition("__")
    value = task[field]
    match operator:
        case "":
            any_of: Sequence[Any] = wanted if isinstance(wanted, list) else [wanted]
            if field in ("user_id", "organization_id"):
                any_of = [None if item is None else canonical(item) for item in any_of]
            return value in any_of
        case "gte":
            return bool(value >= microseconds(wanted))
        case "lt":
            return bool(value < microseconds(wanted))
    if value is None:
        return False
    return wanted in str(value) if operator == "contains" else str(value).startswith(wanted)


def order_key(task: Fields, field: str) -> tuple[bool, Any, str]:
    """Return a sort key: `None` first, text by code points, ids of users and organizations as text, ties by id."""
    value = task[field]
    if field in ("user_id", "organization_id") and value is not None:
        value = str(value)
    return (value is not None, 0 if value is None else value, task["id"])


def row_of(task: Fields) -> Row:
    return {name: shown(task, name) for name in ROW_FIELDS}


def view_of(task: Fields) -> Row:
    return {name: shown(task, name) for name in (*ROW_FIELDS, *VIEW_FIELDS)}


def shown(task: Fields, name: str) -> Any:
    value = task[name]
    return time_text(value) if name in TIMES and value is not None else value


def time_text(moment: int) -> str:
    """Return the text that rows contain for a time in microseconds since 1970 UTC."""
    seconds, fraction = divmod(moment, 1_000_000)
    return f"{second_text(seconds)}.{fraction:06}+00:00"


@functools.lru_cache(maxsize=1_024)
def second_text(seconds: int) -> str:
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)  # noqa: DTZ001  # written without zone
    return moment.isoformat(timespec="seconds")


def microseconds(text: str) -> int:
    return (datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // (
        datetime.timedelta(microseconds=1)
    )
