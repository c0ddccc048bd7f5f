"""The sources of settings, and the errors for bad settings (docs/configuration.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import ConfigurationError, TaskBackendError
from module_sdk.facade.runtime import get_runtime
from tests.support.managers import InjectedManager, a_row

SOURCES = ("configure", "environment", "module_sdk.toml", "pyproject.toml")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, which is empty. The user's data folder is inside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def set_in(source: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set one text setting in one source, and return the arguments for `configure`."""
    match source:
        case "configure":
            return {name: value}
        case "environment":
            monkeypatch.setenv(f"MODULE_SDK_TASKS_{name.upper()}", value)
        case "module_sdk.toml":
            Path("module_sdk.toml").write_text(f'{name} = "{value}"\n')
        case "pyproject.toml":
            Path("pyproject.toml").write_text(f'[tool.module-sdk]\n{name} = "{value}"\n')
    return {}


@pytest.mark.parametrize("strongest", range(4), ids=SOURCES)
@pytest.mark.parametrize("name", ["url", "namespace"])
def test_each_source_takes_precedence_over_the_next(name: str, strongest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the setting in one source and in all sources of lower precedence
    given: dict[str, Any] = {}
    for number in range(strongest, 4):
        value = f"memory://source{number}" if name == "url" else f"source{number}"
        given |= set_in(SOURCES[number], name, value, monkeypatch)
    if name == "namespace" and strongest:
        given["url"] = "memory://"

    module_sdk.configure(**given)

    manager = get_runtime().manager()
    found = str(manager.url) if name == "url" else manager.options.namespace
    assert found.endswith(f"source{strongest}")


def test_settings_come_from_different_sources_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pyproject.toml").write_text(
        '[project]\nname = "x"\n\n[tool.module-sdk]\nbreaker = false\ntimeout_seconds = 3\n'
    )
    Path("module_sdk.toml").write_text("timeout_seconds = 4.5\nauto_setup = false\n")
    monkeypatch.setenv("MODULE_SDK_TASKS_MAX_RUNNING_TASKS", "5")

    module_sdk.configure(url="memory://", lookup_timeout_seconds=1)

    settings = get_runtime().settings
    assert (settings.breaker, settings.timeout_seconds, settings.auto_setup) == (False, 4.5, False)
    assert (settings.max_running_tasks, settings.lookup_timeout_seconds) == (5, 1)


def test_without_configure_the_environment_is_read_at_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODULE_SDK_TASKS_URL", "memory://from_environment")
    assert tasks.list_user_tasks(1).error is None
    assert str(get_runtime().manager().url) == "memory://from_environment"


def test_the_default_is_a_sqlite_file_in_the_users_data_folder(empty_folder: Path) -> None:
    # when nothing is configured, and a task is recorded
    with module_sdk.session(user={"id": 1}):
        task_id = tasks.run_background_sync(answer_one())
        tasks.wait(task_id, 10)

    (file,) = (empty_folder / "data").rglob("tasks.db")
    assert file.parent.name == "module-sdk"
    module_sdk.reset()
    assert [row["id"] for row in tasks.list_user_tasks(1)] == [task_id]


async def answer_one() -> int:
    return 1


def test_a_pyproject_without_our_table_changes_nothing() -> None:
    Path("pyproject.toml").write_text('[project]\nname = "x"\n')
    module_sdk.configure(url="memory://")
    assert tasks.list_user_tasks(1).error is None


# --- Bad settings ---------------------------------------------------------------------------------------------------

BAD_URLS = ["", "tasks.db", "nope://x", "://x", "sqlite", "memory", " memory://", "/tmp/tasks.db", 5, b"memory://", []]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_refused_and_the_earlier_configuration_remains(url: Any) -> None:
    module_sdk.configure(manager=InjectedManager(lambda *_: [a_row()]))

    with pytest.raises(ConfigurationError) as refused:
        module_sdk.configure(url=url)

    assert isinstance(refused.value, RuntimeError)
    assert len(tasks.list_user_tasks(1)) == 1


@pytest.mark.parametrize("source", SOURCES[1:])
@pytest.mark.parametrize("url", ["nope://host", "tasks.db", ""])
def test_a_bad_url_in_the_environment_or_a_file_is_the_error_of_lookups_and_fails_other_calls(
    source: str, url: str, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_in(source, "url", url, monkeypatch)

    # then lookups are empty, all other calls raise, and no other store is used instead
    for result in (tasks.list_user_tasks(1), tasks.get_tasks_by_key("k"), asyncio.run(tasks.aget_tasks_by_key("k"))):
        assert result == []
        assert isinstance(result.error, ConfigurationError)
    with module_sdk.session(user={"id": 1}):
        for call in calls_other_than_lookups():
            with pytest.raises(ConfigurationError):
                call()
    assert not (empty_folder / "data").exists()


def calls_other_than_lookups() -> list[Callable[[], object]]:
    task_id = "01890000-0000-7000-8000-000000000000"
    return [
        lambda: tasks.run_background_sync(answer_one()),
        lambda: asyncio.run(tasks.run_background(answer_one())),
        lambda: tasks.update_progress_sync(task_id, 0.5),
        lambda: tasks.request_confirmation_sync(task_id, {}),
        lambda: tasks.respond_confirmation(task_id, {}),
        lambda: tasks.cancel(task_id),
        lambda: tasks.wait(task_id, 1),
        module_sdk.models.background_tasks.list,
        module_sdk.models.background_tasks.count,
        lambda: module_sdk.models.background_tasks.view(task_id),
    ]


def test_the_error_of_an_unknown_scheme_names_the_installed_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"nope://.*installed: .*memory.*sqlite"):
        module_sdk.configure(url="nope://host")


def test_no_url_means_no_manager() -> None:
    module_sdk.configure(url=None)

    # as FAIL-01 promises
    assert isinstance(tasks.get_tasks_by_key("k", 3).error, ConfigurationError)
    assert isinstance(asyncio.run(tasks.aget_tasks_by_key_prefix("k", 3)).error, RuntimeError)
    with module_sdk.session(user={"id": 1}):
        for call in calls_other_than_lookups():
            with pytest.raises(RuntimeError, match="no task manager is configured"):
                call()


BAD_VALUES: dict[str, list[Any]] = {
    "timeout_seconds": [0, -1, "1", None, True, float("nan"), float("inf"), 1e300],
    "lookup_timeout_seconds": [0, -0.1, "2", None, False, float("nan"), float("inf")],
    "max_connections": [0, 1_001, 1.5, "8", True],
    "maximum_payload_bytes": [0, 4_194_305, 10.5, None],
    "max_running_tasks": [0, -1, 0.5, "3", float("inf")],
    "async_threads": [0, 2.5, None],
    "breaker": [1, "yes", None],
    "auto_setup": [0, "no", None],
    "namespace": ["", "A", "1a", "a__b", "a_", "_a", "a-b", "a" * 25, "é", "a b", None, 5],
    "colour": ["blue"],
}
BAD_OPTIONS = [{name: value} for name, values in BAD_VALUES.items() for value in values]


@pytest.mark.parametrize("option", BAD_OPTIONS, ids=str)
def test_a_bad_option_is_refused_by_name_and_the_earlier_configuration_remains(option: dict[str, Any]) -> None:
    module_sdk.configure(manager=InjectedManager(lambda *_: [a_row()]))

    with pytest.raises(ConfigurationError, match=next(iter(option))):
        module_sdk.configure(url="memory://", **option)

    assert len(tasks.list_user_tasks(1)) == 1


@pytest.mark.parametrize("namespace", ["a", "a1", "a_b", "shop_2024_eu", "a" * 24])
def test_a_good_namespace_separates_the_tasks_of_one_store(namespace: str) -> None:
    # given one store with two namespaces, one of which is in the query of the URL
    mine = module_sdk.open_manager(f"memory://shared_{namespace}?namespace={namespace}")
    other = module_sdk.open_manager(f"memory://shared_{namespace}")

    mine.create(module_sdk.Task.new(user_id=1, module="m"))

    assert mine.options.namespace == namespace
    assert len(mine.list_user_tasks(1)) == 1
    assert other.list_user_tasks(1) == []


@pytest.mark.parametrize("query", ["namespace=", "namespace=A", "namespace=a__b", "namespace=a&namespace=B"])
def test_a_bad_namespace_in_the_url_is_refused(query: str) -> None:
    with pytest.raises(ConfigurationError, match="namespace"):
        module_sdk.configure(url=f"memory://x?{query}")


BAD_FILES = {
    "not TOML": ("url = \n", "line [12]"),
    "not UTF-8": (b"url = '\xff'", "utf-8"),
    "an unknown name": ('urll = "memory://"\n', "urll"),
    "a wrong type": ('breaker = "perhaps"\n', "breaker"),
    "a number out of bounds": ("max_running_tasks = 0\n", "max_running_tasks must be an integer between 1 and 10,000"),
}
"""The content of the file, and a pattern that the error must match."""


@pytest.mark.parametrize(("content", "reason"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("file", ["module_sdk.toml", "pyproject.toml"])
def test_a_file_that_cannot_be_read_is_a_configuration_error(
    file: str, content: str | bytes, reason: str, empty_folder: Path
) -> None:
    table = b"[tool.module-sdk]\n" if file == "pyproject.toml" else b""
    Path(file).write_bytes(table + (content if isinstance(content, bytes) else content.encode()))

    assert isinstance(tasks.list_user_tasks(1).error, ConfigurationError)
    with pytest.raises(ConfigurationError, match=reason) as refused:
        module_sdk.configure(url="memory://")
    assert file in str(refused.value) or "max_running_tasks" in str(refused.value)
    assert not (empty_folder / "data").exists()


def test_a_corrected_file_is_read_after_a_reset() -> None:
    Path("module_sdk.toml").write_text("url = \n")
    assert tasks.list_user_tasks(1).error is not None

    Path("module_sdk.toml").write_text('url = "memory://"\n')
    module_sdk.reset()

    assert tasks.list_user_tasks(1).error is None


# --- Injection, replacement, reset ----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["memory://", None])
def test_a_url_together_with_a_manager_is_refused(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="only one of url, manager and url_file"):
        module_sdk.configure(url=url, manager=InjectedManager(lambda *_: []))  # type: ignore[call-overload]  # wrong on purpose


def test_an_option_of_a_backend_together_with_a_manager_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        module_sdk.configure(manager=InjectedManager(lambda *_: []), colour="blue")  # type: ignore[call-overload]  # wrong on purpose


def test_a_manager_from_a_url_is_closed_when_it_is_replaced_and_an_injected_one_is_not() -> None:
    module_sdk.configure(url="memory://")
    opened = get_runtime().manager()
    injected = module_sdk.open_manager("memory://")

    module_sdk.configure(manager=injected)
    module_sdk.configure(url="memory://")

    with pytest.raises(TaskBackendError, match="closed"):
        opened.ping()
    injected.ping()


def test_a_manager_that_cannot_be_closed_does_not_stop_the_next_configuration(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module_sdk.configure(url="memory://")
    earlier = get_runtime().manager()
    monkeypatch.setattr(earlier, "store_close", lambda: 1 / 0)

    module_sdk.configure(url="memory://next")

    assert str(get_runtime().manager().url) == "memory://next"
    assert "ZeroDivisionError" in caplog.text


def test_a_memory_store_is_new_for_each_manager_unless_it_has_a_name() -> None:
    task = module_sdk.Task.new(user_id=1, module="m")
    for url in ("memory://", "memory://test_memory_is_fresh"):
        module_sdk.open_manager(url).create(task)

    assert module_sdk.open_manager("memory://").list_user_tasks(1) == []
    assert len(module_sdk.open_manager("memory://test_memory_is_fresh").list_user_tasks(1)) == 1


def test_reset_discards_manager_observers_subscribers_and_counters() -> None:
    seen: list[Any] = []

    class Observer:
        def module_sdk_lookup_failed(self, operation: str, error: Exception) -> None:
            seen.append(operation)

    module_sdk.register_observer(Observer())
    module_sdk.configure(url=None)
    with module_sdk.session(user={"id": 1}):
        tasks.subscribe(seen.append)
    tasks.list_user_tasks(1)
    assert (seen, tasks.lookup_failures()) == (["list_user_tasks"], {"list_user_tasks": 1})

    module_sdk.reset()

    assert tasks.lookup_failures() == {}
    module_sdk.configure(url="memory://")
    with module_sdk.session(user={"id": 1}):
        tasks.wait(tasks.run_background_sync(answer_one()), 10)
    tasks.list_user_tasks([])  # type: ignore[arg-type]  # a failure
    assert seen == ["list_user_tasks"]


def test_the_scheme_of_a_url_may_have_any_case_and_name_a_driver() -> None:
    for url in ("MEMORY://", "Memory://", "memory+python://"):
        module_sdk.configure(url=url)
        assert tasks.list_user_tasks(1).error is None
