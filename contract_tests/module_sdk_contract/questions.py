"""Questions that tests repeat after each change, to compare the answers of a store with those of the reference.

Questions and writes are plain JSON, so another process can ask or write the same.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Final

from module_sdk.backends import TaskManager
from module_sdk_contract.calls import LOOKUPS, ordered_view
from module_sdk_contract.data.reference import EVERYWHERE, ROW_FIELDS, STATUSES, Fields, Reference, row_of, time_text
from module_sdk_contract.factories import task_of

HOME: Final = 5
USER: Final = 1
OTHER_USER: Final = "ann"
KEY: Final = "job:1"
OTHER_KEY: Final = "job:2"
RENAMED: Final = "renamed é"
BEGINNING: Final = "0001-01-01T00:00:00+00:00"

Question = dict[str, Any]
"""`clause`, which a wrong answer to the writer itself breaks; `operation`; its keyword `arguments`."""


def repeated_questions(ids: list[str], middle: int) -> list[Question]:
    """Return every kind of read. Later pages come first, before a store can have cached anything for them.

    `ids` are those of existing tasks and of tasks that will be created; `middle` is a time between two changes.
    """
    at_home = {"organization_id": HOME}
    everywhere: tuple[dict[str, Any], ...] = ({}, at_home)
    questions = [
        question("MODEL-09", "page", offset=offset, limit=2, **where) for offset in (4, 2, 0) for where in everywhere
    ]
    questions += [
        question("SEE-01", "list_user_tasks", user_id=USER, **at_home),
        question("SEE-01", "list_user_tasks", user_id=OTHER_USER, **at_home),
        question("SEE-01", "list_user_tasks", user_id=USER, organization_id=None, limit=1),
        question("SEE-01", "get_tasks_by_key", task_key=KEY, **at_home),
        question("SEE-01", "get_tasks_by_key", task_key=OTHER_KEY, **at_home),
        question("SEE-01", "get_tasks_by_key_prefix", prefix="job", **at_home),
        question("SEE-01", "get_tasks_by_key_prefix", prefix="job", limit=1, **at_home),
        question("SEE-01", "get_tasks_by_key_prefix", prefix="", organization_id=None),
    ]
    questions += [
        question("SEE-01", "get", task_id=task_id, **where)
        for task_id, where in zip(ids, itertools.cycle(everywhere), strict=False)
    ]
    for number, field in enumerate(ROW_FIELDS):
        order = {"field": field, "direction": ("asc", "desc")[number % 2]}
        questions.append(question("ORDER-09", "page", sort=order, limit=30, **everywhere[number // 2 % 2]))
    selections: list[tuple[str, dict[str, Any]]] = [
        *(("MODEL-02", {"status": status}) for status in STATUSES),
        ("MODEL-03", {"status": ["completed", "waiting_confirmation"], "user_id": [USER, OTHER_USER]}),
        ("MODEL-02", {"label": RENAMED}),
        ("MODEL-02", {"task_key": KEY, "status": "running"}),
        ("MODEL-04", {"task_key": None}),
        ("MODEL-05", {"label__contains": "named"}),
        ("MODEL-05", {"label__startswith": "ren"}),
        ("MODEL-06", {"updated_at__gte": time_text(middle)}),
        ("MODEL-06", {"updated_at__lt": time_text(middle)}),
        ("MODEL-06", {"created_at__gte": time_text(middle)}),
    ]
    for number, (clause, filters) in enumerate(selections):
        questions.append(question(clause, "page", filters=filters, limit=30, **everywhere[number % 2]))
        questions.append(question("MODEL-07", "count", filters=filters, **everywhere[(number + 1) % 2]))
    return questions + [question("MODEL-07", "count", **where) for where in everywhere]


def some_questions(ids: list[str], middle: int) -> list[Question]:
    """Return `repeated_questions` without most of those that sort, because one index may serve all of them."""
    questions = repeated_questions(ids, middle)
    ordered = [asked for asked in questions if "sort" in asked["arguments"]]
    return [asked for asked in questions if asked not in ordered[2:-2]]


def questions_of_states() -> list[Question]:
    """Return the questions whose answers depend on the status of tasks."""
    questions = [question("MODEL-09", "page", limit=30)]
    for status in STATUSES:
        questions.append(question("MODEL-02", "page", filters={"status": status}, limit=30, organization_id=HOME))
        questions.append(question("MODEL-07", "count", filters={"status": status}))
    return [*questions, question("ORDER-09", "page", sort={"field": "status", "direction": "asc"}, limit=30)]


def questions_about(now: int) -> list[Question]:
    """Return the questions for the tasks that were changed at this moment or later, and for those changed before it."""
    return [
        question("MODEL-06", "page", filters={"updated_at__gte": time_text(now)}, limit=30),
        question("MODEL-06", "count", filters={"updated_at__lt": time_text(now)}),
    ]


def question(clause: str, operation: str, **arguments: Any) -> Question:
    return {"clause": clause, "operation": operation, "arguments": arguments}


def asked_afresh(asked: Question, number: int) -> Question | None:
    """Return an equivalent question that nobody has asked before; `None` if it cannot be varied."""
    if asked["operation"] not in ("page", "count"):
        return None
    # Every task is younger than that, so the filter excludes none.
    since = datetime.datetime.fromisoformat(BEGINNING) + datetime.timedelta(microseconds=number)
    filters = {**(asked["arguments"].get("filters") or {}), "created_at__gte": since.isoformat(timespec="microseconds")}
    if "created_at__gte" in asked["arguments"].get("filters", {}):
        return None
    return {**asked, "arguments": {**asked["arguments"], "filters": filters}}


def answers(manager: TaskManager, questions: Iterable[Question]) -> list[Any]:
    """Return the manager's answer to each question, as JSON values."""
    return [answer(getattr(manager, asked["operation"])(**asked["arguments"])) for asked in questions]


def answer(found: Any) -> Any:
    if found is None or isinstance(found, int):
        return found
    return list(found) if isinstance(found, list) else ordered_view(found.to_view())


def expected_answers(reference: Reference, questions: Iterable[Question]) -> list[Any]:
    return [expected_answer(reference, asked["operation"], dict(asked["arguments"])) for asked in questions]


def expected_answer(reference: Reference, operation: str, arguments: dict[str, Any]) -> Any:
    if operation in LOOKUPS:
        organization, limit = arguments.pop("organization_id"), arguments.pop("limit", None)
        (argument,) = arguments.values()
        return reference.lookup(operation, argument, organization, limit)
    organization = arguments.pop("organization_id", EVERYWHERE)
    if operation == "get":
        return reference.view(arguments["task_id"], organization)
    if operation == "count":
        return reference.count(arguments.get("filters"), organization)
    order = arguments.pop("sort", {"field": "updated_at", "direction": "desc"})
    return reference.page(
        arguments.get("filters"),
        (order["field"], order["direction"]),
        arguments.get("offset", 0),
        arguments["limit"],
        organization,
    )


# --- Writes -----------------------------------------------------------------------------------------------------------

Write = dict[str, Any]
"""`clause`, which a wrong answer breaks; `operation`; its `arguments`, with tasks as their fields."""


def write(clause: str, operation: str, **arguments: Any) -> Write:
    return {"clause": clause, "operation": operation, "arguments": arguments}


def carry_out(manager: TaskManager, operation: str, arguments: Mapping[str, Any]) -> Any:
    """Write to the store and return its answer as a JSON value."""
    match operation:
        case "create":
            task, created = manager.create(task_of(arguments["fields"]))
            return [task.id, created]
        case "import_tasks":
            return manager.import_tasks(map(task_of, arguments["tasks"]))
        case _:
            return getattr(manager, operation)(**arguments)


def carry_out_in(reference: Reference, operation: str, arguments: Mapping[str, Any], now: int) -> Any:
    """Write to the reference and return the answer that the store must give."""
    match operation:
        case "create":
            entry, created = reference.create(arguments["fields"])
            return [entry["id"], created]
        case "import_tasks":
            return reference.import_all(arguments["tasks"])[0]
        case "interrupt_all":
            for task_id in arguments["task_ids"]:
                reference.update(task_id, now, status="interrupted", error=arguments["error"])
            return len(arguments["task_ids"])
        case "prune":
            return reference.prune(now - int(arguments["older_than_seconds"] * 1_000_000))
        case _:
            changes = dict(arguments)
            return changed_row(reference.update(changes.pop("task_id"), now, **changes))


def changed_row(entry: Fields | None) -> Any:
    return None if entry is None else row_of(entry)
