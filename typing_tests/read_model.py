"""The types of the read model, events and observers."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, Literal, assert_type

import module_sdk
from module_sdk import (
    ChangedEvent,
    ProgressEvent,
    SortOrder,
    TaskChange,
    TaskEvent,
    TaskFilters,
    TaskPage,
    TaskRow,
    TaskSort,
    TaskStatus,
    TaskView,
    models,
    tasks,
)

background_tasks = models.background_tasks


async def results() -> None:
    page = background_tasks.list()
    assert_type(page, TaskPage)
    assert_type(page["rows"], list[TaskRow])
    assert_type(page["total_rows"], int)
    assert_type(page["filters"], TaskFilters)
    assert_type(page["sort"], SortOrder)
    assert_type(page["next"], str | None)
    assert_type(background_tasks.count(), int)
    assert_type(background_tasks.view("id"), TaskView | None)
    assert_type(await background_tasks.alist(), TaskPage)
    assert_type(await background_tasks.acount(), int)
    assert_type(await background_tasks.aview(uuid.uuid4()), TaskView | None)


def filters(ids: list[str], states: list[TaskStatus], since: datetime.datetime) -> None:
    background_tasks.list(0, 100, {"status": "failed"}, "-created_at")
    background_tasks.count({"id": ids, "status": states, "user_id": [7, "8"], "created_at__gte": since})
    background_tasks.count({"status": ("failed", "interrupted"), "user_id": {7}, "task_key": [None, "a"]})
    background_tasks.count({"organization_id": None, "label__contains": "x", "updated_at__lt": "2026-01-01T00:00:00Z"})
    chosen: TaskFilters = {"module": "reports"}
    chosen["task_key__startswith"] = "reports."
    background_tasks.list(filters=chosen, sort={"field": "label"})
    order: TaskSort = "-label"
    background_tasks.list(sort=order)
    background_tasks.list(sort={"field": "label", "direction": "asc"})
    background_tasks.list(sort=None)
    computed: Any = {f"{field}__contains": "x" for field in ("label", "module")}
    background_tasks.count(computed)


def events() -> None:
    def heard(event: TaskEvent) -> None:
        if event["type"] == "changed":
            assert_type(event, ChangedEvent)
            assert_type(event["row"], TaskRow)
            assert_type(event["change"], TaskChange)
        else:
            assert_type(event, ProgressEvent)
            assert_type(event["progress"], float | None)
            assert_type(event["checkpoint"], Any)

    with tasks.subscribe(heard) as subscription:
        assert_type(subscription, tasks.Subscription)
    tasks.subscribe(lambda event: print(event["task_id"]), task_id="id").close()


class Observer:
    @module_sdk.hookimpl
    def module_sdk_task_changed(self, row: TaskRow, change: TaskChange) -> None: ...


module_sdk.register_observer(Observer())


def direction(page: TaskPage) -> Literal["asc", "desc"] | None:
    return page["sort"].get("direction")


def refused(page: TaskPage) -> None:
    background_tasks.count({"colour": "red"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.count({"status": "done"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.count({"status": ["done"]})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.count({"progress": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.count({"label__gte": "x"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.count({"created_at__gte": 7})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.count({"module": None})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.list(sort="colour")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.list(sort="+label")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.list(sort={"field": "result"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.list(sort={"field": "id", "direction": "up"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.list("0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background_tasks.view("id")["result"]  # type: ignore[index]  # pyright: ignore[reportOptionalSubscript]
    page["total"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    tasks.subscribe(lambda event: event["row"])  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    tasks.subscribe(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
