"""Sessions: their content, the calls that they confine, and the code that inherits them (clause SCOPE-10)."""

from __future__ import annotations

import asyncio
import enum
import threading
import types
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.domain.task import Task
from module_sdk.errors import ConfigurationError, InvalidInputError, SessionRequiredError, TaskNotFoundError
from module_sdk.facade.sessions import current_session
from module_sdk.store.manager import TaskManager
from tests.support.sample_work import until, until_status


def a_task(**fields: Any) -> Task:
    known: dict[str, Any] = {"user_id": 7, "organization_id": 3, "module": "m"}
    return Task.new(**(known | fields))


class Number(enum.IntEnum):
    SEVEN = 7


INTEGERS = [(7, 7), ("7", 7), (0, 0), ("0", 0), ("-5", -5), (2**80, 2**80), (str(2**80), 2**80), (Number.SEVEN, 7)]
TEXTS = ["007", "7 ", "-0", "+7", "1e3", "٧", "auth0|x", "None", "é" * 127]


@pytest.mark.parametrize(("given", "canonical"), [*INTEGERS, *zip(TEXTS, TEXTS, strict=True)])
def test_the_ids_of_a_session_are_canonical(given: Any, canonical: Any) -> None:
    with module_sdk.session(user={"id": given, "organization_id": given}) as opened:
        assert (opened.user_id, opened.organization_id) == (canonical, canonical)
        assert type(opened.user_id) is type(canonical)


BAD_IDS = [
    True,
    False,
    7.0,
    b"7",
    "",
    "a\0b",
    "\ud800",
    "x" * 256,
    "é" * 128,
    10**300,
    uuid.UUID(int=7).bytes,
    [],
    {},
    ("a",),
]


@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("field", ["id", "organization_id"])
def test_an_id_that_no_task_can_have_is_refused(field: str, bad: Any) -> None:
    with (
        pytest.raises(InvalidInputError) as refused,
        module_sdk.session(user={"id": 7, "organization_id": 3} | {field: bad}),
    ):
        pass
    assert refused.value.field == ("user_id" if field == "id" else field)
    assert refused.value.field in str(refused.value)
    assert refused.value.maximum == (255 if isinstance(bad, str | int) and len(str(bad)) > 100 else None)
    assert refused.value.maximum is None or "at most 255 bytes" in str(refused.value)
    assert current_session() is None


@pytest.mark.parametrize("user", [{}, {"organization_id": 3}, {"id": None}, types.SimpleNamespace(), 7, "7"])
def test_a_user_without_an_id_is_refused(user: Any) -> None:
    with pytest.raises(ValueError, match="id"), module_sdk.session(user=user):
        pass


@pytest.mark.parametrize("module", ["", "a\0", "m" * 256, None, 5])
def test_a_module_that_no_task_can_have_is_refused(module: Any) -> None:
    with pytest.raises(InvalidInputError), module_sdk.session(user={"id": 1}, module=module):
        pass


def test_a_user_may_be_an_object_and_have_no_organization() -> None:
    with module_sdk.session(user=types.SimpleNamespace(id="u", name="x"), module="crm") as opened:
        assert (opened.user_id, opened.organization_id, opened.module) == ("u", None, "crm")


def test_a_session_without_a_user_needs_all_organizations() -> None:
    with pytest.raises(SessionRequiredError), module_sdk.session():
        pass


def test_sessions_nest_and_end_with_their_block() -> None:
    with module_sdk.session(user={"id": 1}) as outer:
        with pytest.raises(KeyError), module_sdk.session(user={"id": 2}):
            raise KeyError
        assert current_session() is outer
    assert current_session() is None


# --- Confinement ----------------------------------------------------------------------------------------------------


def observe(task_id: str) -> list[Any]:
    """Return the result or error of every call by task id, with the id replaced."""
    model = module_sdk.models.background_tasks
    calls: list[Callable[[], Any]] = [
        lambda: model.view(task_id),
        lambda: asyncio.run(model.aview(task_id)),
        lambda: model.list(filters={"id": task_id})["rows"],
        lambda: model.count({"id": task_id}),
        lambda: tasks.cancel(task_id),
        lambda: asyncio.run(tasks.acancel(task_id)),
        lambda: tasks.update_progress_sync(task_id, 0.9),
        lambda: tasks.emit_progress_sync(task_id, 0.9),
        lambda: tasks.request_confirmation_sync(task_id, {"q": 1}),
        lambda: asyncio.run(tasks.request_confirmation(task_id, {"q": 1})),
        lambda: tasks.respond_confirmation(task_id, {"yes": True}),
        lambda: tasks.wait(task_id, 5),
    ]
    seen: list[Any] = []
    for call in calls:
        try:
            seen.append(call())
        except Exception as error:
            seen.append((type(error), str(error).replace(task_id, "…")))
    return seen


UNKNOWN = "01890000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("status", ["pending", "running", "waiting_confirmation", "completed"])
@pytest.mark.parametrize("organization", [4, None, "3 ", 33])
def test_a_task_of_another_organization_looks_like_an_unknown_one(
    store: TaskManager, organization: Any, status: Any
) -> None:
    theirs = a_task(organization_id=organization)
    store.create(theirs)
    for step in {"running": ["running"], "pending": []}.get(status, ["running", status]):
        store.update(theirs.id, status=step)
    before = store.get(theirs.id)

    seen = observe(theirs.id)

    assert seen == observe(UNKNOWN)
    assert seen[:6] == [None, None, [], 0, False, False]
    assert seen[6:8] == [None, None]
    assert {kind for kind, _ in seen[8:]} == {TaskNotFoundError}
    assert store.get(theirs.id) == before


def test_a_task_that_runs_here_for_another_organization_looks_unknown_too(store: TaskManager) -> None:
    # given a task of this process that waits for a confirmation
    events: list[Any] = []
    with module_sdk.session(user={"id": 1, "organization_id": 4}):
        subscription = tasks.subscribe(events.append)
        theirs = tasks.run_background_sync(asking())
        until_status(store, theirs, "waiting_confirmation")
        # The event arrives after the record is written.
        until(lambda: any(event.get("change") == "waiting_confirmation" for event in events))
    events.clear()

    seen = observe(theirs)

    assert seen == observe(UNKNOWN)
    assert events == []
    task = store.get(theirs)
    assert task is not None
    assert (task.status, task.progress) == ("waiting_confirmation", 0.0)
    with module_sdk.session(user={"id": 2, "organization_id": 4}):
        tasks.respond_confirmation(theirs, {"yes": True})
        assert tasks.wait(theirs, 10)["result"] == {"yes": True}
    subscription.close()


async def asking() -> dict[str, Any]:
    return await tasks.request_confirmation(tasks.current().id, {"q": 1})


def test_without_a_session_every_call_by_id_is_refused(store: TaskManager) -> None:
    # given an existing task of this organization, and one of none
    for organization in (3, None):
        task = a_task(organization_id=organization)
        store.create(task)

        # when a thread that the test started calls, which has no session
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.extend(observe(task.id)))  # noqa: B023  # joined in the loop
        thread.start()
        thread.join()

        assert {kind for kind, _ in seen} == {SessionRequiredError}
        assert store.get(task.id) == task


def test_an_operator_reaches_every_organization(store: TaskManager) -> None:
    theirs = [a_task(organization_id=organization) for organization in (3, 4, None)]
    for task in theirs:
        store.create(task)

    with module_sdk.session(all_organizations=True):
        rows = module_sdk.models.background_tasks.list()["rows"]
        cancelled = [tasks.cancel(task.id) for task in theirs]

    assert {row["id"] for row in rows} == {task.id for task in theirs}
    assert cancelled == [True, True, True]


def test_an_operator_without_a_user_cannot_submit(store: TaskManager) -> None:
    with module_sdk.session(all_organizations=True), pytest.raises(ValueError, match="user"):
        tasks.run_background_sync(asking())


def test_lookups_use_exactly_the_organization_that_is_passed_even_inside_a_session(store: TaskManager) -> None:
    for organization in (3, 4, None):
        store.create(a_task(organization_id=organization, task_key="k"))

    for organization in (3, 4, None):
        for rows in (
            tasks.list_user_tasks(7, organization),
            tasks.get_tasks_by_key("k", organization),
            tasks.get_tasks_by_key_prefix("", organization),
        ):
            assert [row["organization_id"] for row in rows] == [organization]


# --- Code that inherits the session ---------------------------------------------------------------------------------


def test_work_and_async_calls_inherit_the_session(store: TaskManager) -> None:
    @tasks.register("inherit.sync")
    def sync_work() -> str:
        return describe()

    async def async_work() -> list[Any]:
        return [describe(), await asyncio.create_task(later()), await asyncio.to_thread(describe)]

    async def later() -> str:
        return describe()

    def describe() -> str:
        opened = current_session()
        assert opened is not None
        return f"{opened.user_id} {opened.organization_id} {opened.module}"

    async def submit() -> list[tasks.TaskId]:
        ids = [await tasks.run_background("inherit.sync"), await tasks.run_background(async_work())]
        for task_id in ids:
            await tasks.await_task(task_id, 10)
        return ids

    ids = [tasks.run_background_sync("inherit.sync"), tasks.run_background_sync(async_work()), *asyncio.run(submit())]

    for task_id, expected in zip(ids, ["7 3 tests", ["7 3 tests"] * 3] * 2, strict=True):
        view = tasks.wait(task_id, 10)
        assert (view["result"], view["user_id"], view["organization_id"]) == (expected, 7, 3)


USER = {"id": 8, "organization_id": 5}


@pytest.mark.parametrize("session", [{"user": USER}, types.SimpleNamespace(user=types.SimpleNamespace(**USER))])
def test_a_bound_object_acts_inside_its_session(store: TaskManager, session: Any) -> None:
    sdk = module_sdk.bind(session, "crm")

    async def submit_async() -> str:
        task_id: str = await sdk.tasks.run_background(asking())
        while (view := await sdk.models.background_tasks.aview(task_id)) and view["status"] != "waiting_confirmation":
            await asyncio.sleep(0.005)
        await sdk.tasks.arespond_confirmation(task_id, {"yes": 1})
        view = await sdk.tasks.await_task(task_id, 10)
        assert view["result"] == {"yes": 1}
        return task_id

    task_id = asyncio.run(submit_async())

    view = sdk.models.background_tasks.view(task_id)
    assert view
    assert (view["user_id"], view["organization_id"], view["module"]) == (8, 5, "crm")
    assert module_sdk.models.background_tasks.view(task_id) is None
    assert sdk.ui.Text("x").to_dict() == module_sdk.ui.Text("x").to_dict()
    opened = current_session()
    assert opened is not None
    assert opened.user_id == 7
    assert sdk.tasks.LookupResult is tasks.LookupResult


def labels_found(sdk: module_sdk.BoundSDK, *organization: Any) -> list[list[str | None]]:
    """Return the labels that each of the three lookups finds, with this organization or without the argument.

    Also assert that the async versions and the keyword form find the same.
    """
    calls: list[tuple[Any, Any]] = [
        (sdk.tasks.list_user_tasks, sdk.tasks.alist_user_tasks),
        (sdk.tasks.get_tasks_by_key, sdk.tasks.aget_tasks_by_key),
        (sdk.tasks.get_tasks_by_key_prefix, sdk.tasks.aget_tasks_by_key_prefix),
    ]
    found = []
    for (call, acall), argument in zip(calls, (7, "k", ""), strict=True):
        rows = call(argument, *organization)
        assert rows == asyncio.run(acall(argument, *organization))
        assert rows == call(argument, **dict(zip(["organization_id"], organization, strict=False)))
        assert (rows.error, len(call(argument, *organization, limit=0))) == (None, 0)
        found.append([row["label"] for row in rows])
    return found


@pytest.mark.parametrize("own", [5, "acme", None, uuid.UUID(int=7)])
def test_lookups_of_a_bound_object_use_its_organization_unless_one_is_passed(store: TaskManager, own: Any) -> None:
    # given one task per organization, with the organization as its label
    for organization in (3, 5, "acme", uuid.UUID(int=7), None):
        store.create(a_task(organization_id=organization, task_key="k", label=str(organization)))
    sdk = module_sdk.bind({"user": {"id": 1, "organization_id": own}}, "crm")

    # then they do so although another session is bound
    assert labels_found(sdk) == [[str(own)]] * 3
    for given in (3, 5, "acme", uuid.UUID(int=7), None):
        assert labels_found(sdk, given) == [[str(given)]] * 3
    assert labels_found(sdk, 99) == [[]] * 3

    # and the lookups of the module without an argument find only tasks of no organization
    assert [row["label"] for row in tasks.get_tasks_by_key("k")] == ["None"]


def test_a_failed_lookup_of_a_bound_object_is_an_empty_list_with_its_error() -> None:
    sdk = module_sdk.bind({"user": {"id": 1, "organization_id": 5}}, "crm")
    module_sdk.configure(url=None)
    assert sdk.tasks.get_tasks_by_key("k") == []
    assert isinstance(sdk.tasks.get_tasks_by_key("k").error, ConfigurationError)
    module_sdk.configure(url="memory://")
    wrong: Any = 7.5
    assert isinstance(sdk.tasks.list_user_tasks(1, wrong).error, InvalidInputError)


@pytest.mark.parametrize("session", [{}, {"user": None}, types.SimpleNamespace(), None, {"user": {}}])
def test_binding_without_a_user_is_refused(session: Any) -> None:
    with pytest.raises(InvalidInputError):
        module_sdk.bind(session, "m")
