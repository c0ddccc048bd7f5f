"""Backends are found through entry points and loaded one at a time (clauses DISC-01, 02)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import StoreURL
from module_sdk.errors import ConfigurationError
from module_sdk.plugins.registry import GROUP, Registry
from tests.support.distributions import install, write

GOOD = """
from module_sdk.backends import ManagerOptions, hookimpl
from module_sdk_memory.manager import MemoryTaskManager

@hookimpl
def module_sdk_open_task_manager(url, options):
    return MemoryTaskManager(url, options)
"""
UNMARKED = GOOD.replace("@hookimpl", "")
OBJECT = """
from module_sdk_memory.manager import MemoryTaskManager

class Plugin:
    def module_sdk_open_task_manager(self, url, options):
        return MemoryTaskManager(url, options)

plugin = Plugin()
"""


@pytest.mark.parametrize(
    ("source", "attribute"), [(GOOD, ""), (UNMARKED, ""), (OBJECT, ":plugin")], ids=["marked", "unmarked", "object"]
)
def test_an_installed_backend_serves_its_scheme(
    source: str, attribute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    # given a plugin that is a module or an object
    name = f"served_{request.node.callspec.id}"
    scheme = name.replace("_", "-")
    install(tmp_path, monkeypatch, "served", {name: source}, {GROUP: {scheme: f"{name}{attribute}"}})

    module_sdk.configure(url=f"{scheme}://somewhere", timeout_seconds=3)

    assert tasks.list_user_tasks(1).error is None


def test_only_the_backend_of_the_scheme_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given two installed backends, one of which cannot be imported
    modules = {"wanted_backend": GOOD, "broken_backend": "raise OSError('no such device')"}
    entries = {"wanted": "wanted_backend", "broken": "broken_backend"}
    install(tmp_path, monkeypatch, "pair", modules, {GROUP: entries})

    module_sdk.configure(url="wanted://")

    assert "wanted_backend" in sys.modules
    assert "broken_backend" not in sys.modules
    with pytest.raises(ConfigurationError, match="broken_backend, cannot be loaded: OSError: no such device"):
        module_sdk.configure(url="broken://")
    assert tasks.list_user_tasks(1).error is None


def test_the_error_for_a_scheme_of_two_backends_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        install(
            tmp_path / name, monkeypatch, f"{name}-dist", {f"{name}_claim": GOOD}, {GROUP: {"twice": f"{name}_claim"}}
        )

    with pytest.raises(ConfigurationError, match=r"first_claim of first-dist and second_claim of second-dist"):
        module_sdk.configure(url="twice://")
    assert not {"first_claim", "second_claim"} & set(sys.modules)


def test_a_scheme_that_two_distributions_map_to_one_module_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fork", "original"):
        install(tmp_path / name, monkeypatch, name, {"same_backend": GOOD}, {GROUP: {"same-module": "same_backend"}})
    with pytest.raises(ConfigurationError, match="same_backend of fork and same_backend of original"):
        module_sdk.configure(url="same-module://")


def test_a_distribution_that_is_listed_twice_is_not_a_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an editable install beside a wheel of the same distribution
    for folder in ("wheel", "editable"):
        install(
            tmp_path / folder, monkeypatch, "listed", {"listed_backend": GOOD}, {GROUP: {"listed": "listed_backend"}}
        )

    module_sdk.configure(url="listed://")
    assert tasks.list_user_tasks(1).error is None


def test_a_plugin_of_two_schemes_is_registered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"schemea": "both_backend", "schemeb": "both_backend"}
    install(tmp_path, monkeypatch, "both", {"both_backend": GOOD}, {GROUP: entries})
    registry = Registry()

    managers = [registry.open_manager(f"{scheme}://", {}) for scheme in entries]

    assert [str(manager.url) for manager in managers] == ["schemea://", "schemeb://"]
    assert registry.hooks_for("schemea") is registry.hooks_for("schemeb")


BROKEN = {
    "unknown hook": ("def module_sdk_open_manager(url, options): ...", "module_sdk_open_manager"),
    "unknown argument": ("def module_sdk_open_task_manager(url, options, colour): ...", "colour"),
    "no hook": (
        "def open_task_manager(url, options): ...",
        "none of the hooks module_sdk_open_task_manager",
    ),
    "no function": ("module_sdk_open_task_manager = 5", "none of the hooks"),
    "not a manager": ("def module_sdk_open_task_manager(url, options): return object()", "object, not a TaskManager"),
    "nothing": ("def module_sdk_open_task_manager(url, options): return None", "NoneType, not a TaskManager"),
    "raises": ("def module_sdk_open_task_manager(url, options): return 1 / 0", "ZeroDivisionError: division by zero"),
    "driver": ("import a_driver_that_is_not_here", "ModuleNotFoundError: No module named 'a_driver_that_is_not_here'"),
    "syntax": ("def", "SyntaxError"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_error_for_a_broken_plugin_names_it_and_the_reason(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, reason = BROKEN[case]
    name = f"broken_{case.replace(' ', '_')}"
    scheme = name.replace("_", "-")
    install(tmp_path, monkeypatch, name, {name: source}, {GROUP: {scheme: name}})

    with pytest.raises(ConfigurationError, match=reason) as refused:
        module_sdk.configure(url=f"{scheme}://host")
    assert scheme in str(refused.value)
    module_sdk.configure(url="memory://")


def test_an_entry_point_of_a_module_that_does_not_exist_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "absent", {}, {GROUP: {"absent": "no_such_module:thing"}})
    with pytest.raises(ConfigurationError, match="no_such_module:thing, cannot be loaded"):
        module_sdk.configure(url="absent://")


def test_the_error_of_a_backend_without_its_driver_reaches_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a backend whose hook finds that its driver is not installed
    source = """
    from module_sdk.backends import ConfigurationError

    def module_sdk_open_task_manager(url, options):
        raise ConfigurationError("the driver is missing: pip install 'module-sdk[postgres]'")
    """
    install(tmp_path, monkeypatch, "driverless", {"driverless": source}, {GROUP: {"driverless": "driverless"}})

    # then the message of the hook reaches the caller, even of a lookup
    monkeypatch.setenv("MODULE_SDK_TASKS_URL", "driverless://host")
    assert "module-sdk[postgres]" in str(tasks.list_user_tasks(1).error)


DRIVERS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "postgres": (("psycopg",), ["postgresql", "postgres", "postgresql+psycopg"]),
    "mysql": (("pymysql", "MySQLdb"), ["mysql", "mariadb"]),
    "redis": (("redis",), ["redis", "rediss", "valkey", "valkeys"]),
    "mongo": (("pymongo",), ["mongodb", "mongodb+srv"]),
}
"""The driver modules and the URL schemes of each extra."""

WITHOUT_DRIVER = """
import sys

modules, schemes = (argument.split(",") for argument in sys.argv[1:])
for module in modules:
    sys.modules[module] = None

import module_sdk

for scheme in schemes:
    try:
        module_sdk.configure(url=f"{scheme}://user:s3cret@host/tasks")
    except module_sdk.ConfigurationError as error:
        print(error)
module_sdk.configure(url="sqlite:///:memory:")
assert module_sdk.tasks.list_user_tasks(7, 3).error is None
"""


@pytest.mark.parametrize("extra", DRIVERS)
def test_each_store_without_its_driver_names_the_extra_to_install(extra: str) -> None:
    # given an interpreter in which the driver is not installed
    modules, schemes = DRIVERS[extra]

    messages = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER, ",".join(modules), ",".join(schemes)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()

    # then each message names the extra and no password, and other stores still work
    assert len(messages) == len(schemes)
    assert [line for line in messages if f"pip install 'module-sdk[{extra}]'" not in line or "s3cret" in line] == []


def test_a_plugin_that_could_not_be_loaded_is_loaded_by_a_later_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "mended", {}, {GROUP: {"mended": "mended_backend"}})
    with pytest.raises(ConfigurationError):
        module_sdk.configure(url="mended://")

    write(tmp_path / "more", "mended-part", {"mended_backend": GOOD}, {})
    monkeypatch.syspath_prepend(str(tmp_path / "more"))

    module_sdk.configure(url="mended://")


def test_a_backend_receives_common_options_separately_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a backend that knows one option of its own
    source = """
    from module_sdk_memory.manager import MemoryTaskManager

    class Manager(MemoryTaskManager):
        def __init__(self, url, options):
            options.refuse_unknown({"colour"})
            self.colour = options.extra.get("colour")
            super().__init__("memory://")
            self.given, self.given_url = options, url

    def module_sdk_open_task_manager(url, options):
        return Manager(url, options)
    """
    install(tmp_path, monkeypatch, "optional", {"optional_backend": source}, {GROUP: {"optional": "optional_backend"}})

    own: dict[str, Any] = {"colour": "blue"}

    manager = module_sdk.open_manager("optional://h/p?a=1&namespace=shop&b=%20", **own, max_connections=3)

    assert manager.colour == "blue"  # type: ignore[attr-defined]  # the plugin's own class
    assert manager.given.namespace == "shop"  # type: ignore[attr-defined]
    assert manager.given.max_connections == 3  # type: ignore[attr-defined]
    assert manager.given_url == "optional://h/p?a=1&b=+"  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="unknown option 'size'; this backend knows colour"):
        module_sdk.open_manager("optional://", size=3)  # type: ignore[call-arg]  # the refused option


def test_refuse_query_refuses_parameters_but_not_the_namespace() -> None:
    StoreURL.parse("memory://it?namespace=shop").refuse_query()
    with pytest.raises(ConfigurationError, match="the URL of memory:// has parameters"):
        StoreURL.parse("memory://it?namespace=shop&nosuch=1").refuse_query()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memry://", "did you mean memory://"),
        ("my_db://here", "a scheme of letters, digits, '.' and '-'"),
        ("nowhere", "must look like sqlite:///tasks.db"),
    ],
)
def test_the_error_for_a_wrong_scheme_says_how_to_correct_it(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        module_sdk.open_manager(url)
