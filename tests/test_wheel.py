"""The built wheel, installed outside the tree, is complete, brings nothing else, and loads no more than it should."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
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
from module_sdk.task import Task

manager = open_manager(sys.argv[1])
manager.create(Task.new(user_id=7, module="wheel", task_key="wheel.test"))
(row,) = manager.get_tasks_by_key_prefix("wheel.")
assert manager.list_user_tasks(7) == [row]
manager.close()
print(sys.modules["module_sdk"].__file__, sys.modules[type(manager).__module__].__file__)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that holds the wheel, built from the source distribution, and sees our dependencies."""
    built, folder = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, ROOT)
    (wheel,) = built.glob("*.whl")
    venv.create(folder)
    run(sys.executable, "-m", "pip", "--python", python(folder), "install", "--no-deps", "--no-index", wheel)
    # A plain path: the editable install, which is a `.pth` file too, is not followed from there.
    (site_packages(folder) / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder


def python(environment: Path) -> Path:
    return environment / "bin" / "python"


def site_packages(environment: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd="/", check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_our_packages_and_nothing_else(environment: Path) -> None:
    folders = {path.name for path in site_packages(environment).iterdir() if path.is_dir()}
    assert {name for name in folders if not name.endswith(".dist-info")} == PACKAGES


def test_every_package_is_typed(environment: Path) -> None:
    untyped = {name for name in PACKAGES if not (site_packages(environment) / name / "py.typed").is_file()}
    assert untyped == set()


def test_importing_module_sdk_loads_no_driver(environment: Path) -> None:
    loaded = run(python(environment), "-I", "-c", "import sys, module_sdk; print(*sys.modules)").split()
    assert "module_sdk" in loaded
    assert NOT_LOADED & set(loaded) == set()


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{folder}/tasks.db"], ids=["memory", "sqlite"])
def test_a_store_is_found_through_its_installed_entry_point(environment: Path, url: str, tmp_path: Path) -> None:
    files = run(python(environment), "-I", "-c", CREATE_AND_FIND, url.format(folder=tmp_path)).split()
    assert len(files) == 2
    assert all(Path(file).is_relative_to(environment) for file in files)


def test_the_command_is_installed(environment: Path) -> None:
    assert "tasks" in run(environment / "bin" / "module-sdk", "--help")
