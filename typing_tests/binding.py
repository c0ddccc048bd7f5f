"""The types of sessions and of the object that `bind` returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine
from typing import Any, assert_type

import module_sdk
from module_sdk import BoundSDK, BoundTasks, Session, TaskPage, TaskView, tasks, ui


@dataclasses.dataclass
class User:
    id: int
    organization_id: int | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    user: User


async def work() -> int:
    return 1


def sessions(user: User) -> None:
    with module_sdk.session(user=user, module="contacts") as opened:
        assert_type(opened, Session)
        assert_type(opened.user_id, int | str | None)
        assert_type(opened.module, str)
    with module_sdk.session({"id": 7, "organization_id": 3}), module_sdk.session(all_organizations=True):
        pass
    assert_type(module_sdk.current_session(), Session | None)


def binding(user: User) -> BoundSDK:
    module_sdk.bind({"user": {"id": 7}}, "contacts")
    module_sdk.bind({"user": user}, "contacts")
    return module_sdk.bind(Request(user), "contacts")


def lookups(sdk: BoundSDK) -> None:
    assert_type(sdk.session, Session)
    assert_type(sdk.tasks, BoundTasks)
    assert_type(sdk.tasks.list_user_tasks(7), tasks.LookupResult)
    assert_type(sdk.tasks.get_tasks_by_key("k", None, limit=1), tasks.LookupResult)
    assert_type(sdk.tasks.get_tasks_by_key_prefix("k", organization_id=3), tasks.LookupResult)
    assert_type(sdk.tasks.lookup_failures(), dict[str, int])


async def work_calls(sdk: BoundSDK, task_id: str) -> None:
    assert_type(await sdk.tasks.alist_user_tasks(7), tasks.LookupResult)
    assert_type(await sdk.tasks.run_background(work(), "Work", task_key="k"), tasks.TaskId)
    assert_type(await sdk.tasks.run_background("name", count=1), tasks.TaskId)
    assert_type(sdk.tasks.run_background_sync(work()), tasks.TaskId)
    awaitable: Coroutine[Any, Any, None] = sdk.tasks.update_progress(task_id, 0.5)
    await awaitable
    assert_type(await sdk.tasks.request_confirmation(task_id, {"q": 1}), dict[str, Any])
    assert_type(sdk.tasks.cancel(task_id), bool)
    assert_type(await sdk.tasks.acancel(task_id), bool)
    assert_type(sdk.tasks.wait_task(task_id, timeout_seconds=1), TaskView)
    assert_type(await sdk.tasks.await_task(task_id, 1), TaskView)
    assert_type(sdk.tasks.current(), tasks.CurrentTask)
    assert_type(sdk.tasks.subscribe(print), tasks.Subscription)
    assert_type(sdk.models.background_tasks.list(filters={"status": "failed"}), TaskPage)
    assert_type(sdk.models.background_tasks.count(), int)
    assert_type(await sdk.models.background_tasks.aview(task_id), TaskView | None)
    assert_type(sdk.ui.Text("x"), ui.Text)
    assert_type(sdk.ui.Builder().add(sdk.ui.Button("x")), ui.Builder)

    @sdk.tasks.register("typing.bound")
    def registered(count: int) -> int:
        return count

    assert_type(registered(1), int)


async def refused(sdk: BoundSDK, task_id: str) -> None:
    sdk.nothing  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    sdk.tasks.nonsense()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    sdk.tasks.get_runtime()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    sdk.models.read_model  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    sdk.models.background_tasks.nonsense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    sdk.ui.components  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    sdk.tasks.list_user_tasks(7, 3, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sdk.tasks.list_user_tasks(7, module_sdk.ANY)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sdk.tasks.cancel()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sdk.tasks.cancel(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sdk.tasks.update_progress(task_id, 1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    sdk.tasks.run_background_sync(work(), count=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    sdk.models.background_tasks.count({"colour": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    module_sdk.bind({"user": User(7)})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    module_sdk.session(users={"id": 7})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
