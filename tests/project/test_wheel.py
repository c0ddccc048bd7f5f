"""The built wheel, installed outside the tree, is complete, contains nothing else, and loads no driver."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.environments import ROOT, Environment

PACKAGES: Final = {
    "module_sdk",
    "module_sdk_contract",
    *(f"module_sdk_{folder.name}" for folder in (ROOT / "backends").glob("[a-z]*")),
}
NOT_LOADED: Final = {
    "asyncio",
    "importlib.metadata",
    "pluggy",
    "psycopg",
    "pydantic",
    "pymongo",
    "pymysql",
    "redis",
    "rich",
    "sortedcontainers",
    "sqlalchemy",
    "typer",
}

CREATE_AND_FIND = """
import sys
from module_sdk import open_manager
from module_sdk.domain.task import Task

manager = open_manager(sys.argv[1])
manager.create(Task.new(user_id=7, module="wheel", task_key="wheel.test"))
(row,) = manager.get_tasks_by_key_prefix("wheel.")
assert manager.list_user_tasks(7) == [row]
manager.close()
print(sys.modules["module_sdk"].__file__, sys.modules[type(manager).__module__].__file__)
"""


@pytest.fixture(scope="module")
def environment(built_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment"), built_wheel)


def test_the_wheel_contains_our_packages_and_nothing_else(environment: Environment) -> None:
    folders = {path.name for path in environment.site_packages.iterdir() if path.is_dir()}
    assert {name for name in folders if not name.endswith(".dist-info")} == PACKAGES


def test_every_package_is_typed(environment: Environment) -> None:
    untyped = {name for name in PACKAGES if not (environment.site_packages / name / "py.typed").is_file()}
    assert untyped == set()


def test_importing_module_sdk_loads_no_driver(environment: Environment) -> None:
    loaded = environment.run("python", "-I", "-c", "import sys, module_sdk; print(*sys.modules)").split()
    assert "module_sdk" in loaded
    assert NOT_LOADED & set(loaded) == set()


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{folder}/tasks.db"], ids=["memory", "sqlite"])
def test_a_store_is_found_through_its_installed_entry_point(environment: Environment, url: str, tmp_path: Path) -> None:
    files = environment.run("python", "-I", "-c", CREATE_AND_FIND, url.format(folder=tmp_path)).split()
    assert len(files) == 2
    assert all(Path(file).is_relative_to(environment.folder) for file in files)


def test_the_command_is_installed(environment: Environment) -> None:
    assert "tasks" in environment.run("module-sdk", "--help")
