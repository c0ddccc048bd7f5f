"""A misspelt setting is an error that suggests the right name. It never silently selects the default store."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import ConfigurationError
from module_sdk.facade import near_misses
from module_sdk.facade.runtime import get_runtime
from tests.support.command_line import CommandLine

STORE = "postgresql://app:zQ7xK9wV@127.0.0.1:1/db"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty working folder, which contains the user's data folder, and unset our variables."""
    for name in [name for name in os.environ if name.upper().startswith("MODULE_SDK")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    near_misses.warn_of.cache_clear()
    yield tmp_path
    near_misses.warn_of.cache_clear()


def refusal() -> str:
    """Return the error text of lookups, writes and `configure`, after asserting that it is the same for all three."""
    error = tasks.list_user_tasks(1).error
    assert isinstance(error, ConfigurationError)
    with module_sdk.session(user={"id": 1}), pytest.raises(ConfigurationError) as raised:
        tasks.cancel("01890000-0000-7000-8000-000000000000")
    with pytest.raises(ConfigurationError) as refused:
        module_sdk.configure(url="memory://")
    assert str(error) == str(raised.value) == str(refused.value)
    assert "zQ7xK9wV" not in str(error)
    return str(error)


URL = "MODULE_SDK_TASKS_URL"
MISSPELT = {
    "MODULE_SDK_URL": URL,
    "MODULESDK_TASKS_URL": URL,
    "MODULE_SDK_TASK_URL": URL,
    "module_sdk_tasks_url": URL,
    "Module_SDK_Tasks_Url": URL,
    "MODULE_SDK_TASKS_URI": URL,
    "MODULE_SDK_TASKS_ULR": URL,
    "MODULE_SDK_TASKSURL": URL,
    "MODULE_SDK_TASKS__URL": URL,
    "MODULE_SDKTASKS_URL": URL,
    "MODULE_SDK_TASKS_DSN": URL,
    "MODULE_SDK_DSN": URL,
    "MODULE_SDK_DATABASE_URL": URL,
    "MODULE_SDK_TASKS_DATABASE_URL": URL,
    "MODULE_SDK_STORE_URL": URL,
    "MODULE_SDK_TASKS_STORE": URL,
    "MODULE_SDK_BACKEND": URL,
    "MODULE_SDK_REDIS_URL": URL,
    "MODULE_SDK_TASKS_POSTGRES_URL": URL,
    "MODULE_SDK_DB_URL": URL,
    "MODULE_SDK_CONNECTION_STRING": URL,
    "MODULE_SKD_TASKS_URL": URL,
    "MODUL_SDK_TASKS_URL": URL,
    "MODULES_SDK_TASKS_URL": URL,
    "MODULE_SDK_TASKS": URL,
    "MODULE_SDK_WHERE_IT_IS": URL,
    "MODULE_SDK_URL_FILE": f"{URL}_FILE",
    "MODULE_SDK_TASKS_URLFILE": f"{URL}_FILE",
    "MODULE_SDK_TASKS_DATABASE_URL_FILE": f"{URL}_FILE",
    "MODULE_SDK_TASKS_REQUIRED_URL": "MODULE_SDK_TASKS_REQUIRE_URL",
    "MODULE_SDK_TASKS_LOOKUP_TIMEOUT": "MODULE_SDK_TASKS_LOOKUP_TIMEOUT_SECONDS",
    "MODULE_SDK_TASKS_LOOKUP_TIMEOUT_MS": "MODULE_SDK_TASKS_LOOKUP_TIMEOUT_SECONDS",
    "MODULE_SDK_TASKS_TIMEOUT": "MODULE_SDK_TASKS_TIMEOUT_SECONDS",
    "MODULE_SDK_TASKS_NAMESPAC": "MODULE_SDK_TASKS_NAMESPACE",
    "MODULE_SDK_NAMESPACE": "MODULE_SDK_TASKS_NAMESPACE",
    "MODULE_SDK_TASKS_MAX_CONNECTION": "MODULE_SDK_TASKS_MAX_CONNECTIONS",
    "MODULE_SDK_TASKS_CONNECTIONS": "MODULE_SDK_TASKS_MAX_CONNECTIONS",
}


@pytest.mark.parametrize(("name", "right"), MISSPELT.items())
def test_a_misspelt_variable_is_an_error_that_suggests_the_right_one(
    name: str, right: str, monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    monkeypatch.setenv(name, STORE)

    error = refusal()

    assert f"{name} is not a setting of module-sdk" in error
    assert error.endswith(f"did you mean {right}?")
    assert not (empty_folder / "data").exists()


VARIABLES_OF_OTHERS = {
    "MODULE_SDK_TASKS_SERVICE_HOST": "10.0.0.1",
    "MODULE_SDK_TASKS_SERVICE_PORT": "80",
    "MODULE_SDK_TASKS_SERVICE_PORT_HTTP": "80",
    "MODULE_SDK_TASKS_PORT": "tcp://10.0.0.1:80",
    "MODULE_SDK_TASKS_PORT_80_TCP": "tcp://10.0.0.1:80",
    "MODULE_SDK_TASKS_PORT_80_TCP_PROTO": "tcp",
    "MODULE_SDK_TASKS_PORT_80_TCP_PORT": "80",
    "MODULE_SDK_TASKS_PORT_80_TCP_ADDR": "10.0.0.1",
    "MODULE_SDK_SERVICE_HOST": "10.0.0.1",
    "MODULE_SDK_PORT": "tcp://10.0.0.1:6379",
    "MODULE_SDK_PORT_53_UDP": "udp://10.0.0.1:53",
    "MODULE_SDK_TASKS_URL_SERVICE_HOST": "10.0.0.1",
    "MODULE_SDK_REDIS_SERVICE_PORT_REDIS_TLS": "6379",
    "MODULE_SDK_TEST_POSTGRES_URL": STORE,
    "MODULE_SDK_CONTRACT_URL": STORE,
    "MY_MODULE_SDK_TASKS_URL": STORE,
    "MODULE_TASKS": "x",
    "MODEL_SDK": "x",
    "MODULEPATH": "/usr/share/modules",
    "DATABASE_URL": STORE,
}


def test_variables_of_others_are_ignored(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name, value in VARIABLES_OF_OTHERS.items():
        monkeypatch.setenv(name, value)

    module_sdk.configure(url="memory://")

    assert tasks.list_user_tasks(1).error is None
    assert caplog.messages == []


def test_unknown_names_with_our_prefix_are_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("MODULE_SDK_TASKS_COLOUR", "MODULE_SDK_DEBUG", "MODULESDK_HOME"):
        monkeypatch.setenv(name, "zQ7xK9wV")

    for _ in range(3):
        module_sdk.configure(url="memory://")

    (message,) = caplog.messages
    for name in ("MODULE_SDK_TASKS_COLOUR", "MODULE_SDK_DEBUG", "MODULESDK_HOME"):
        assert name in message
    assert "zQ7xK9wV" not in message


# --- Files ----------------------------------------------------------------------------------------------------------

LINE = f'url = "{STORE}"\n'
FILES: dict[str, tuple[str, str, str]] = {
    "another table of tools": ("pyproject.toml", f"[tool.module_sdk]\n{LINE}", r"\[tool.module-sdk\]"),
    "no hyphen": ("pyproject.toml", f"[tool.modulesdk]\n{LINE}", r"\[tool.module-sdk\]"),
    "capitals": ("pyproject.toml", f"[tool.Module-SDK]\n{LINE}", r"\[tool.module-sdk\]"),
    "the name of the distribution": ("pyproject.toml", f"[tool.module-sdk-tasks]\n{LINE}", r"\[tool.module-sdk\]"),
    "a missing letter": ("pyproject.toml", f"[tool.module-sd]\n{LINE}", r"\[tool.module-sdk\]"),
    "not a tool": ("pyproject.toml", f"[module-sdk]\n{LINE}", r"\[tool.module-sdk\]"),
    "a table below ours": ("pyproject.toml", f"[tool.module-sdk.tasks]\n{LINE}", "one level higher"),
    "a table in our file": ("module_sdk.toml", f"[module-sdk]\n{LINE}", "the top of the file"),
    "the table of the other file": ("module_sdk.toml", f"[tool.module-sdk]\n{LINE}", "the top of the file"),
    "any table": ("module_sdk.toml", f"[tasks]\n{LINE}", "one level higher"),
    "a misspelt key": ("module_sdk.toml", f'uri = "{STORE}"\n', "did you mean 'url'"),
    "a guess": ("pyproject.toml", f'[tool.module-sdk]\ndatabase_url = "{STORE}"\n', "did you mean 'url'"),
    "a shortened key": ("module_sdk.toml", "lookup_timeout = 3\n", "did you mean 'lookup_timeout_seconds'"),
    "capitals in a key": ("module_sdk.toml", f'URL = "{STORE}"\n', "did you mean 'url'"),
    "the name of the variable": ("module_sdk.toml", f'MODULE_SDK_TASKS_URL = "{STORE}"\n', "did you mean 'url'"),
    "a key that is not a name": ("module_sdk.toml", f'"{STORE}" = 1\n', "a name is not a setting"),
    "a hyphen": ("module-sdk.toml", LINE, "its name must be module_sdk.toml"),
    "no hyphen in a file's name": ("modulesdk.toml", LINE, "its name must be module_sdk.toml"),
    "a hidden file": (".module_sdk.toml", LINE, "its name must be module_sdk.toml"),
    "the distribution's file": ("module_sdk_tasks.toml", LINE, "its name must be module_sdk.toml"),
    "an extra letter": ("modules_sdk.toml", LINE, "its name must be module_sdk.toml"),
    "a misspelt extension": ("module_sdk.tml", LINE, "its name must be module_sdk.toml"),
    "capitals in a file's name": ("Module-SDK.toml", LINE, "its name must be module_sdk.toml"),
}


@pytest.mark.parametrize(("name", "content", "reason"), FILES.values(), ids=FILES)
def test_a_misspelt_file_table_or_key_is_an_error_that_says_what_to_write(name: str, content: str, reason: str) -> None:
    Path(name).write_text(content)
    error = refusal()
    assert name in error
    with pytest.raises(ConfigurationError, match=reason):
        module_sdk.configure(url="memory://")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", '[tool.sdk]\nx = 1\n[tool.other-sdk]\nurl = "x"\n[project]\nname = "module-sdk"\n'),
        ("sdk.toml", "x = 1\n"),
        ("module_sdk_notes.md", "x"),
        ("module_sdk.py", "x = 1\n"),
    ],
)
def test_files_of_others_are_ignored(name: str, content: str) -> None:
    Path(name).write_text(content)
    module_sdk.configure(url="memory://")
    assert tasks.list_user_tasks(1).error is None


def test_a_folder_with_a_misspelt_name_is_ignored() -> None:
    Path("module-sdk.toml").mkdir()
    module_sdk.configure(url="memory://")


# --- Options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("namespac", "namespace"),
        ("lookup_timeout_second", "lookup_timeout_seconds"),
        ("URL", "url"),
        ("dsn", "url"),
        ("lookup_timeout", "lookup_timeout_seconds"),
        ("database_url", "url"),
    ],
)
@pytest.mark.parametrize("store", ["memory://", "sqlite:///x.db", "redis://h", "mongodb://h", "mysql://h/d"])
def test_a_misspelt_option_is_refused_with_the_right_one(name: str, right: str, store: str) -> None:
    options: dict[str, Any] = {name: "zQ7xK9wV"}
    with pytest.raises(ConfigurationError, match=f"did you mean '{right}'") as refused:
        module_sdk.configure(url=store, **options)
    assert "zQ7xK9wV" not in str(refused.value)


# --- Empty values, require_url, and the log -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["URL", "URL_FILE", "NAMESPACE", "BREAKER", "TIMEOUT_SECONDS", "REQUIRE_URL"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_an_error_that_says_so(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MODULE_SDK_TASKS_{name}", value)
    assert refusal() == f"the environment variable MODULE_SDK_TASKS_{name} is empty: give it a value, or unset it"


@pytest.mark.parametrize("source", ["configure", "environment", "module_sdk.toml", "pyproject.toml"])
def test_require_url_refuses_the_default_store(
    source: str, monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    given: dict[str, Any] = {"require_url": True} if source == "configure" else {}
    if source == "environment":
        monkeypatch.setenv("MODULE_SDK_TASKS_REQUIRE_URL", "true")
    elif source != "configure":
        table = "[tool.module-sdk]\n" if source == "pyproject.toml" else ""
        Path(source).write_text(f"{table}require_url = true\n")

    with pytest.raises(ConfigurationError, match="MODULE_SDK_TASKS_URL"):
        module_sdk.configure(**given)
    if not given:
        assert isinstance(tasks.list_user_tasks(1).error, ConfigurationError)

    module_sdk.configure(url="memory://", **given)
    assert tasks.list_user_tasks(1).error is None
    module_sdk.configure(manager=module_sdk.open_manager("memory://"), **given)
    assert not (empty_folder / "data").exists()


def test_the_log_says_once_which_store_opened_and_where_its_url_came_from(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(URL, "memory://app:zQ7xK9wV@screens")
    with caplog.at_level(logging.INFO, "module_sdk.tasks"):
        for _ in range(3):
            tasks.list_user_tasks(1)

    (message,) = caplog.messages
    assert "memory://app:***@screens (from the environment variable MODULE_SDK_TASKS_URL)" in message


def test_a_process_that_uses_the_default_store_is_warned_and_a_command_is_not(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for _ in range(2):
        tasks.list_user_tasks(1)

    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "MODULE_SDK_TASKS_URL" in warning.message
    assert str(get_runtime().manager().url) in warning.message
    CommandLine(tmp_path).succeed("tasks", "list")


def test_a_misspelt_variable_is_an_error_of_every_command(tmp_path: Path) -> None:
    command_line = CommandLine(tmp_path)
    for arguments in (("doctor",), ("setup",), ("tasks", "list"), ("tasks", "prune", "--older-than", "1d")):
        assert "did you mean MODULE_SDK_TASKS_URL?" in command_line.fail(*arguments, MODULE_SDK_URL=STORE)
    assert not command_line.default_file.exists()
