"""The names, documentation and type hints of the public calls, which must agree with the code.

`typing_tests/` shows what type checkers infer from them.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pydoc
import types
import typing
from collections.abc import Callable
from typing import Any, Final, get_args, get_type_hints

import pytest

import module_sdk
from module_sdk import errors, models, tasks, testing, ui
from module_sdk.binding import BoundBackgroundTasks, BoundTasks
from module_sdk.domain import shapes
from module_sdk.domain.query import parse_query, parse_sort
from module_sdk.domain.record import ROW_FIELDS
from module_sdk.domain.statuses import ACTIVE, FINAL, STATUSES
from module_sdk.domain.task import VIEW_FIELDS, Task
from module_sdk.errors import InvalidInputError
from module_sdk.facade.settings import ConfigureOptions, InjectedOptions, Settings
from module_sdk.store.options import ManagerOptions, OpenOptions

ALIASES: Final = {
    "wait": "wait_task",
    "arun_background": "run_background",
    "aupdate_progress": "update_progress",
    "aemit_progress": "emit_progress",
    "arequest_confirmation": "request_confirmation",
}
WITHOUT_STORE: Final = {"current", "lookup_failures", "register", "subscribe"}
"""Calls that do not wait for the store."""
MODEL: Final = models.background_tasks
CALLS: Final[dict[str, Callable[..., Any]]] = {
    **{f"tasks.{name}": getattr(tasks, name) for name in tasks.__all__ if not inspect.isclass(getattr(tasks, name))},
    **{f"background_tasks.{name}": getattr(MODEL, name) for name in dir(MODEL) if not name.startswith("_")},
    **{name: getattr(module_sdk, name) for name in ("ashutdown", "bind", "configure", "open_manager", "session")},
}

# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_its_own_name_and_documentation(name: str) -> None:
    short = name.rpartition(".")[2]
    call = CALLS[name]
    assert (call.__name__, call.__qualname__.rpartition(".")[2]) == (ALIASES.get(short, short),) * 2
    assert pydoc.plain(pydoc.render_doc(call)).splitlines()[2].removeprefix("async ").startswith(f"{call.__name__}(")
    first = (call.__doc__ or "").splitlines()[0]
    assert first.endswith((".", ":"))
    if set(inspect.signature(call).parameters) - {"args", "kwargs"}:
        assert "Args" in (call.__doc__ or "")


@pytest.mark.parametrize("name", CALLS)
def test_the_type_hints_of_a_call_are_complete_at_run_time(name: str) -> None:
    hints = get_type_hints(inspect.unwrap(CALLS[name]))
    assert hints.keys() - {"return"} == inspect.signature(CALLS[name]).parameters.keys()
    assert "return" in hints


@pytest.mark.parametrize("namespace", [tasks, MODEL, BoundTasks, BoundBackgroundTasks])
def test_every_call_that_waits_for_the_store_has_an_async_version(namespace: Any) -> None:
    public = {name for name in dir(namespace) if not name.startswith("_") and callable(getattr(namespace, name))}
    calls = {name for name in public if not inspect.isclass(getattr(namespace, name))}
    synchronous = {name.removesuffix("_sync") for name in calls if not name.startswith("a")}
    for name in synchronous - WITHOUT_STORE - {"wait", "create", "update", "delete"}:
        assert inspect.iscoroutinefunction(getattr(namespace, f"a{name}")), name
    for name in calls:
        assert inspect.iscoroutinefunction(getattr(namespace, name)) or not name.startswith("a"), name


@pytest.mark.parametrize("name", [name for lookup in shapes.LOOKUPS for name in (lookup, f"a{lookup}")])
def test_a_bound_lookup_has_the_parameters_of_the_lookup(name: str) -> None:
    _, *bound = inspect.signature(getattr(BoundTasks, name)).parameters.values()
    plain = inspect.signature(getattr(tasks, name)).parameters.values()
    assert [(each.name, each.kind) for each in bound] == [(each.name, each.kind) for each in plain]


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_is_the_same_call(name: str) -> None:
    assert getattr(tasks, name) is getattr(tasks, ALIASES[name])


@pytest.mark.parametrize("module", [tasks, models, ui, errors, testing, module_sdk], ids=lambda module: module.__name__)
def test_a_public_module_defines_what_it_lists(module: types.ModuleType) -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    own = {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    }
    # pytest finds the fixture without `__all__`.
    assert own - {*module.__all__, "module_sdk_world"} == set()


def test_the_facade_has_no_other_visible_name() -> None:
    assert {name for name in dir(tasks) if not name.startswith("__")} == set(tasks.__all__)


@pytest.mark.parametrize("name", ["run_background", "update_progress", "emit_progress", "request_confirmation"])
def test_a_call_that_logs_a_forgotten_await_is_a_function_to_every_tool(name: str) -> None:
    call = getattr(tasks, name)
    assert inspect.isfunction(call)
    assert inspect.isroutine(call)
    assert inspect.iscoroutinefunction(call)
    assert copy.deepcopy(call) is call
    assert pickle.loads(pickle.dumps(call)) is call


# --- Bound objects ----------------------------------------------------------------------------------------------------


def test_a_bound_object_has_exactly_the_names_of_the_facade() -> None:
    sdk = module_sdk.bind({"user": {"id": 7}}, "m")
    public = {
        "tasks": (sdk.tasks, set(tasks.__all__)),
        "model": (sdk.models.background_tasks, {name for name in dir(MODEL) if not name.startswith("_")}),
        "models": (sdk.models, {"background_tasks"}),
        "ui": (sdk.ui, set(ui.__all__)),
        "sdk": (sdk, {"models", "session", "tasks", "ui"}),
    }
    for label, (bound, names) in public.items():
        assert {name for name in dir(bound) if not name.startswith("_")} == names, label
    for internal in ("get_runtime", "aio", "look_up", "__builtins__", "__loader__", "annotations"):
        assert not hasattr(sdk.tasks, internal)


@pytest.mark.parametrize("name", [name for name in tasks.__all__ if name not in shapes.LOOKUPS])
def test_a_bound_call_has_the_signature_and_documentation_of_the_call(name: str) -> None:
    bound, call = getattr(module_sdk.bind({"user": {"id": 7}}, "m").tasks, name), getattr(tasks, name)
    if inspect.isclass(call):
        assert bound is call
    elif name.removeprefix("a") not in shapes.LOOKUPS:
        assert inspect.signature(bound) == inspect.signature(call)
        assert (bound.__name__, bound.__doc__) == (call.__name__, call.__doc__)
        assert inspect.iscoroutinefunction(bound) == inspect.iscoroutinefunction(call)
        assert bound is not call


# --- Shapes -----------------------------------------------------------------------------------------------------------


def literals(alias: Any) -> set[str]:
    return {text for part in get_args(alias) for text in ([part] if isinstance(part, str) else literals(part))}


def fields_of(shape: Any) -> tuple[str, ...]:
    return tuple(get_type_hints(shape))


def test_the_types_have_the_fields_and_values_of_the_code() -> None:
    task = Task.new(user_id=7, module="m")
    assert fields_of(shapes.TaskRow) == tuple(task.to_row()) == ROW_FIELDS
    assert set(fields_of(shapes.TaskView)) == {*ROW_FIELDS, *VIEW_FIELDS} == task.to_view().keys()
    assert set(fields_of(shapes.TaskDict)) == task.to_dict().keys() == {each.name for each in dataclasses.fields(Task)}
    assert literals(shapes.TaskStatus) == STATUSES
    assert (literals(shapes.ActiveStatus), literals(shapes.FinalStatus)) == (set(ACTIVE), set(FINAL))
    assert literals(shapes.TaskChange) == STATUSES | {"created", "updated"}
    assert get_args(shapes.RowField) == ROW_FIELDS


def test_the_sorts_and_filters_of_the_types_are_the_accepted_ones() -> None:
    for sort in (*get_args(shapes.RowField), *get_args(shapes.RowFieldDescending)):
        parse_sort(sort)
    assert {f"-{field}" for field in ROW_FIELDS} == set(get_args(shapes.RowFieldDescending))
    listed = set(fields_of(shapes.TaskFilters))
    suffixes = ("", "__contains", "__startswith", "__gte", "__lt", "__gt", "__lte", "__in")
    for name in {f"{field}{suffix}" for field in (*ROW_FIELDS, *VIEW_FIELDS) for suffix in suffixes}:
        filters: Any = {name: "2026-01-01T00:00:00Z"}
        if name in listed:
            assert parse_query(filters, None).conditions, name
        else:
            with pytest.raises(InvalidInputError, match="not a filter"):
                parse_query(filters, None)


def test_results_have_the_shapes_of_their_types(memory: testing.World) -> None:
    events: list[Any] = []
    with tasks.subscribe(events.append):
        task_id = tasks.run_background_sync(nothing(), task_key="k")
        tasks.emit_progress_sync(task_id, 0.5)
        view = tasks.wait_task(task_id, 10)
    assert view.keys() == set(fields_of(shapes.TaskView))
    page = MODEL.list(filters={"status": "completed"}, sort="-label")
    assert tuple(page) == fields_of(shapes.TaskPage)
    assert page["sort"] == {"field": "label", "direction": "desc"}
    assert type(page["rows"][0]) is dict
    for event in events:
        shape = shapes.ChangedEvent if event["type"] == "changed" else shapes.ProgressEvent
        assert event.keys() == set(fields_of(shape))
    assert {event["type"] for event in events} == {"changed", "progress"}


async def nothing() -> None:
    pass


def test_the_options_of_the_types_are_the_fields_of_the_code() -> None:
    manager = {name: hint for name, hint in get_type_hints(ManagerOptions).items() if name != "extra"}
    assert get_type_hints(OpenOptions) == manager
    settings = get_type_hints(Settings)
    configure = get_type_hints(ConfigureOptions)
    assert configure.keys() - {"clock"} == settings.keys() - {"url"}
    assert get_type_hints(InjectedOptions).keys() == configure.keys() - {"clock", "url_file"}
    for name in settings.keys() - {"url", "url_file"}:
        assert configure[name] == settings[name], name
    assert typing.get_args(configure["url_file"])[0] is str


def test_the_package_has_no_other_visible_name() -> None:
    assert {name for name in dir(module_sdk) if not name.startswith("__")} == set(module_sdk.__all__)
