"""The types of lookups: their arguments and their rows."""

from __future__ import annotations

import uuid
from typing import Literal, assert_type

import module_sdk
from module_sdk import TaskRow, TaskStatus, tasks


def rows() -> None:
    found = tasks.list_user_tasks(7, 3, limit=10)
    assert_type(found, tasks.LookupResult)
    assert_type(found.error, Exception | None)
    assert_type(found.skipped, int)
    assert_type(found[:1], list[TaskRow])
    for row in found:
        assert_type(row, TaskRow)
        assert_type(row["id"], str)
        assert_type(row["module"], str)
        assert_type(row["label"], str)
        assert_type(row["status"], TaskStatus)
        assert_type(row["progress"], float)
        assert_type(row["task_key"], str | None)
        assert_type(row["user_id"], int | str)
        assert_type(row["organization_id"], int | str | None)
        assert_type(row["created_at"], str)
        assert_type(row["updated_at"], str)
    latest = found[0] if found else None
    assert_type(latest, TaskRow | None)


def arguments() -> None:
    tasks.list_user_tasks("7", None)
    tasks.list_user_tasks(uuid.uuid4(), uuid.uuid4(), limit=None)
    tasks.get_tasks_by_key("contacts.import", organization_id=3)
    tasks.get_tasks_by_key_prefix("contacts.", "acme")
    assert_type(tasks.lookup_failures(), dict[str, int])


async def asynchronous() -> None:
    assert_type(await tasks.alist_user_tasks(7, 3, limit=1), tasks.LookupResult)
    assert_type(await tasks.aget_tasks_by_key("k", 3), tasks.LookupResult)
    assert_type(await tasks.aget_tasks_by_key_prefix("k", 3), tasks.LookupResult)


def narrowing(row: TaskRow) -> Literal["completed", "failed", "interrupted"] | None:
    if row["status"] in ("pending", "running", "waiting_confirmation"):
        return None
    if row["status"] == "completed" or row["status"] == "failed":
        return row["status"]
    return "interrupted"


async def refused(row: TaskRow) -> None:
    row["results"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    row["result"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    print(row["status"] == "done")  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
    row["progress"] = "half"  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    tasks.list_user_tasks()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tasks.list_user_tasks(7.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tasks.list_user_tasks(7, 3, 10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tasks.get_tasks_by_key(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tasks.get_tasks_by_key("k", module_sdk.ANY)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tasks.get_tasks_by_key("k", limit="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tasks.aget_tasks_by_key("k")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    for found in tasks.aget_tasks_by_key("k"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        print(found)


def internals() -> None:
    tasks.get_runtime  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    tasks.aio  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
